"""Options of ``wootz explore``."""

from dataclasses import dataclass

from wootz.options import check_range, option


@dataclass
class ExploreConfig:
    """Name, merge, split and reject candidate classes on a local web page."""

    clusters: str = option(
        "", "which clustering (column cluster_<name>); may be left out where there is only one"
    )
    embedding: str = option(
        "", "embedding for similar tiles, splits and proposals; by default the clustering's"
    )
    expert: str = option(
        "",
        "your name: labels of different people are kept apart; the page asks if empty. With export=: whose "
        "labels, or consensus",
    )
    export: str = option(
        "",
        "write a file and open no page: labels as .csv or .parquet (tables), .json (COCO), .zip (pictures, "
        "one folder a class), .notes.csv (notes); .html is a copy of the page to look at, for people without "
        "wootz",
    )
    page_mb: float = option(20.0, "largest size of export=page.html", unit="MB, 1 to 500")
    port: int = option(0, "port on this computer; 0 takes a free one", unit="0 to 65535")
    browser: bool = option(True, "open the page in the browser")

    def __post_init__(self) -> None:
        check_range("port", self.port, 0, 65535)
        check_range("page_mb", self.page_mb, 1, 500)
