"""Options of ``wootz repair``."""

from dataclasses import dataclass

from wootz.options import option


@dataclass
class RepairConfig:
    """Check every file of an archive against its checksum and set aside what is damaged."""

    deep: bool = option(True, "also hash the pixels of every field; false looks at their length only")
