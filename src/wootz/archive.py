"""Archive: a study's images, tables and results in one plain folder (`docs/decisions/0002`)."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd

from wootz import annotations, embeddings, intake, intensity, manifest, oplog, repair, runs
from wootz.errors import ArchiveError
from wootz.fields import NewField
from wootz.pixels import PixelReader
from wootz.store import Store
from wootz.tables import records, set_column
from wootz.tilegrid import tile_frame, write_grid
from wootz.tiles import TileSet


def open_archive(path: str | Path) -> "Archive":
    """Open an existing archive; ``wootz.open`` is this function.

    Raises
    ------
    ArchiveError
        If the folder holds no archive, a damaged one, or one of a newer format.
    """
    return Archive(path)


@final
class Archive:
    """A folder of packed micrographs with its tables.

    Tables are given out as copies: change the archive with the methods. Every change is one atomic commit
    (`transaction` joins several). Several processes may read while one writes.

    Parameters
    ----------
    path : str or Path
        Folder of an existing archive (`Archive.create` makes one).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.store = Store(self.path)
        self.pixels = PixelReader(self.store)
        self._sound: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None = None

    @classmethod
    def create(cls, path: str | Path) -> "Archive":
        """Make an archive in a new or empty folder, or open the one that is there."""
        manifest.create(Path(path))
        return cls(path)

    open_or_create = create

    def __repr__(self) -> str:
        return f"Archive({str(self.path)!r}, {len(self.image_table())} images)"

    @contextmanager
    def transaction(self):
        """Commit all changes within the ``with`` block in one step; an exception leaves none of them."""
        with self.store.transaction():
            yield

    def check(self, *, deep: bool = True) -> pd.DataFrame:
        """Compare all files with their recorded lengths and checksums: file, what, problem; empty if sound.

        Without `deep`, pixels are compared by length alone, and not read.
        """
        return repair.find_damage(self.store, deep=deep)

    def repair(self, *, deep: bool = True) -> pd.DataFrame:
        """Set damaged parts aside, so that the rest works and ingest, embed, ... can fill the gaps.

        Damaged files move to ``damaged/``; lost images leave the images table for the set-aside list.
        Returns what `check` found.
        """
        return repair.repair(self.store, deep=deep)

    # images ------------------------------------------------------------------------------------------------

    def image_table(self) -> pd.DataFrame:
        """Give the images table itself, without copying; do not change it."""
        return self._sound_images()[0]

    @property
    def images(self) -> pd.DataFrame:
        """One row per field of view, in the order of arrival; fields cut off on disk are left out."""
        return self.image_table().copy()

    @property
    def set_aside(self) -> pd.DataFrame:
        """Files that were not taken in, or whose stored pixels are cut off: file, reason, when."""
        lost = self._sound_images()[1]
        return pd.concat([self.store.table("set_aside"), lost], ignore_index=True)

    def field(self, image_id: str) -> np.ndarray:
        """View a field as recorded, without info bar: (H, W) uint8 or uint16, read-only, memory-mapped."""
        return self.pixels.field(self.image(image_id))

    def scaled_field(self, image_id: str) -> np.ndarray:
        """Read a field on the common intensity scale: (H, W) float32 in [-1, 2]."""
        row = self.image(image_id)
        return intensity.scale(self.pixels.field(row), row["intensity_low"], row["intensity_high"])

    def raw_tags(self, image_id: str) -> dict[str, Any]:
        """Give all raw tags of the file, as the reader found them."""
        self.image(image_id)
        return intake.load_tags(self.store, image_id)

    def image(self, image_id: str) -> dict[str, Any]:
        """Give the row of one image."""
        table = self.image_table()
        found = table[table["image_id"] == image_id]
        if not len(found):
            raise ArchiveError(f"{self.path} has no image {image_id!r}; archive.images lists them.")
        return records(found)[0]

    def add_images(
        self, fields: Iterable[NewField], *, set_aside: Iterable[tuple[str, str]] = ()
    ) -> intake.AddedImages:
        """Append a batch of fields in one commit.

        Parameters
        ----------
        fields : iterable of NewField
            Read lazily; keep a batch below about 1 GiB, it becomes one shard per dtype. A field whose pixels
            raise `ReadError` on the way is set aside. A field with the pixels of a stored one gets a row of
            its own with ``duplicate_of``, and no second copy of the pixels; the same file with the same
            pixels again changes nothing.
        set_aside : iterable of (file, reason)
            Files that could not be read at all.
        """
        added = intake.add_images(self.store, fields, set_aside=set_aside)
        table = self.store.table("images")
        self.pixels.trust(table[table["image_id"].isin(added.image_ids)])
        return added

    def set_image_column(self, name: str, image_ids: Sequence[str], values: Any) -> None:
        """Set a column of the images table for some images; the others keep theirs or stay unknown."""
        if name in intake.protected_columns():
            raise ArchiveError(f"column {name!r} says where the pixels are and cannot be set.")
        with self.store.transaction() as transaction:
            frame = set_column(self.store.table("images"), name, key="image_id", ids=image_ids, values=values)
            transaction.replace_table("images", intake.check_images(frame))

    # tiles -------------------------------------------------------------------------------------------------

    def write_tiles(
        self, size_px: int, stride_px: int, *, contrasts: Mapping[str, np.ndarray] | None = None
    ) -> pd.DataFrame:
        """Store the grid of tiles over all images and return its table.

        Columns: tile_id, image_id, row, col, height, width (px), uninformative, duplicate, contrast (see
        `wootz.contrast.contrast`). Windows that were there keep their other columns. `contrasts` holds, by
        image_id, what `wootz.tilegrid.field_contrasts` gave while a field was at hand; the rest is computed.
        """
        return write_grid(self, size_px=size_px, stride_px=stride_px, measured=contrasts)

    def tiles(
        self,
        *,
        size_px: int | None = None,
        stride_px: int | None = None,
        images: Sequence[str] | np.ndarray | None = None,
    ) -> TileSet:
        """Select tiles: of the stored grid, or of any other with `size_px` (stride as large by default).

        Parameters
        ----------
        images : image_ids, or (n_images,) bool over ``archive.images``
            Only tiles of these; all by default.
        """
        return TileSet(self, tile_frame(self, size_px=size_px, stride_px=stride_px, images=images))

    @property
    def tile_table(self) -> pd.DataFrame:
        """The stored grid with all columns that were added to it."""
        return self.store.table("tiles").copy()

    def set_tile_column(self, name: str, tile_ids: Sequence[str], values: Any) -> None:
        """Store a column (``label``, ``cluster_*``, ``pred_*`` ...) for some tiles of the stored grid."""
        with self.store.transaction() as transaction:
            frame = set_column(self.store.table("tiles"), name, key="tile_id", ids=tile_ids, values=values)
            transaction.replace_table("tiles", frame)

    # embeddings --------------------------------------------------------------------------------------------

    def add_embedding(
        self, name: str, tile_ids: Sequence[str], features: np.ndarray, provenance: Mapping[str, Any]
    ) -> int:
        """Append (N, D) float32 features of N tiles; tiles that are stored already are passed over.

        `provenance` must hold ``encoder_fingerprint``; every key that ends in ``fingerprint`` must agree with
        what is stored under this name. Returns the number of new rows.
        """
        return embeddings.add(self.store, name, tile_ids, features=features, provenance=provenance)

    def embedding(self, name: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Give (tile_ids, features, provenance); features are memory-mapped while they are one shard."""
        return embeddings.load(self.store, name)

    def embedding_ids(self, name: str) -> np.ndarray:
        """Give the tile_ids of an embedding in the order of its rows: (N,) str."""
        return embeddings.stored_ids(self.store, name)

    def embedding_provenance(self, name: str) -> dict[str, Any]:
        """Give what the features of an embedding were made with and from."""
        return embeddings.provenance_of(self.store, name)

    def embedding_rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Give some rows of an embedding without holding the others in memory: (n, D) float32."""
        return embeddings.load_rows(self.store, name, rows)

    def embedding_shards(self, name: str) -> list[tuple[Path, int]]:
        """List the files of an embedding and their numbers of rows, in the order of `embedding_ids`."""
        return embeddings.shard_files(self.store, name)

    def embedding_names(self) -> list[str]:
        """List the embeddings."""
        return sorted(self.store.manifest["embeddings"])

    # classes, masks, maps ----------------------------------------------------------------------------------

    def add_classes(self, scheme: str, classes: pd.DataFrame) -> None:
        """Store the classes of a scheme: id, name, colour "#rrggbb", role, definition, parent."""
        annotations.add_classes(self.store, scheme, classes)

    def classes(self, scheme: str) -> pd.DataFrame:
        """List the classes of a scheme, by id."""
        return annotations.classes(self.store, scheme)

    def schemes(self) -> list[str]:
        """List the schemes."""
        return sorted(self.store.table("classes")["scheme"].unique())

    def add_mask(
        self,
        image_id: str,
        mask: np.ndarray,
        *,
        scheme: str,
        source: str,
        kind: str = "annotation",
        run: str = "",
    ) -> None:
        """Store a mask, (H, W) class numbers with 255 for not labelled, of exactly the image's size.

        It takes the place of the mask of the same image, scheme, kind and source.
        """
        about = {"scheme": scheme, "source": source, "kind": kind, "run": run}
        annotations.add_mask(self.store, self.image(image_id), mask, **about)

    def mask(
        self, image_id: str, *, scheme: str, kind: str = "annotation", source: str | None = None
    ) -> np.ndarray:
        """Read the mask, (H, W) uint8; the newest where several sources drew one."""
        return annotations.load_mask(
            self.store, self.image(image_id), scheme=scheme, kind=kind, source=source
        )

    @property
    def annotations(self) -> pd.DataFrame:
        """Masks that people drew: image_id, scheme, source, run, file, classes_drawn, has_ignore, ..."""
        return annotations.masks(self.store, "annotation")

    @property
    def predictions(self) -> pd.DataFrame:
        """Masks that networks predicted, with the same columns."""
        return annotations.masks(self.store, "prediction")

    def add_map(self, image_id: str, values: np.ndarray, *, name: str, run: str = "") -> None:
        """Store a map over an image, (H, W) float32 without NaN, such as an anomaly heat map."""
        annotations.add_map(self.store, self.image(image_id), values, name=name, run=run)

    def map(self, image_id: str, name: str) -> np.ndarray:
        """Read a map, (H, W) float32."""
        return annotations.load_map(self.store, self.image(image_id), name)

    # results -----------------------------------------------------------------------------------------------

    def add_objects(self, objects: pd.DataFrame, *, whole: bool = False) -> None:
        """Store objects in place of those of the same images and sources (see `wootz.objects`).

        With `whole` they are all that their sources have: objects of these sources on other images go too.
        """
        same = ["source"] if whole else ["image_id", "source"]
        intake.replace_rows(self.store, "objects", objects, same=same)

    @property
    def objects(self) -> pd.DataFrame:
        """One row per connected thing."""
        return self.store.table("objects").copy()

    def add_measurements(self, measurements: pd.DataFrame) -> None:
        """Store values in place of those of the same image, specimen, quantity, method and source."""
        same = ["image_id", "specimen", "quantity", "method", "source"]
        intake.replace_rows(self.store, "measurements", measurements, same=same)

    @property
    def measurements(self) -> pd.DataFrame:
        """One row per image or specimen and quantity, with unit and interval."""
        return self.store.table("measurements").copy()

    def start_run(
        self,
        command: str,
        config: Mapping[str, Any],
        *,
        seed: int | None,
        inputs: Mapping[str, Any],
        resume: bool = False,
    ) -> runs.Run:
        """Note the start of a computation and make its folder.

        With `resume`, a run of the same command, options, seed and inputs whose process was killed goes on
        in its own folder instead.
        """
        about = {"seed": seed, "inputs": inputs}
        found = runs.resume(self.path, command, config, **about) if resume else None
        return found or runs.start(self.path, command, config, **about)

    @property
    def runs(self) -> pd.DataFrame:
        """All computations, oldest first."""
        return runs.load(self.path)

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one operation of an expert; it is on the disk when this returns."""
        oplog.append(self.path, record)

    def log_records(self) -> list[dict[str, Any]]:
        """Read all operations in order."""
        return oplog.load(self.path)

    def _sound_images(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        table = self.store.table("images")
        if self._sound is None or self._sound[2] is not table:
            self._sound = (*self.pixels.part_sound(table), table)
        return self._sound[:2]
