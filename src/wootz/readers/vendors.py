"""Whose file is it: ask each vendor's reader in turn."""

from __future__ import annotations

from wootz.readers.fei import read_fei
from wootz.readers.findings import Findings, Header
from wootz.readers.hitachi import read_hitachi
from wootz.readers.jeol import read_jeol_side_file, read_jeol_xml
from wootz.readers.phenom import read_phenom
from wootz.readers.resolution import read_imagej, read_resolution
from wootz.readers.tem import read_sis, read_tvips
from wootz.readers.tescan import read_tescan
from wootz.readers.zeiss import read_zeiss


def find_metadata(header: Header) -> Findings:
    """Collect what the file and its side files say.

    Tags of the instrument come first, side files next, then ImageJ (which keeps a scale that somebody set
    by hand, and drops the instrument's tags), plain resolution tags last.
    """
    return (
        read_fei(header)
        or read_zeiss(header)
        or read_phenom(header)
        or read_tvips(header)
        or read_sis(header)
        or read_jeol_xml(header)
        or read_tescan(header)
        or read_jeol_side_file(header)
        or read_hitachi(header)
        or read_imagej(header)
        or read_resolution(header)
    )
