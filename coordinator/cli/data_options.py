"""Options of `init`: where the run is, what is known about the pictures, and what is wished."""

from __future__ import annotations

from typing import Annotated

import typer

DataOption = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="Your pictures: a folder, Parquet, tars, or org/name of a data set; settings are proposed for them.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        help="Recipe: a name from `paris-coord recipes`, or a .toml file.", show_default="emoji, or by the data"
    ),
]
NameOption = Annotated[str | None, typer.Option(help="The run's name; part of its id.")]
HubOption = Annotated[str | None, typer.Option(help="Endpoint of an external Hub.", show_default="that of the recipe")]
HostOption = Annotated[
    str | None, typer.Option(help="IPv4 address at which volunteers reach this machine.", show_default="loopback")
]
HubPortOption = Annotated[int, typer.Option(help="Port of the embedded Hub; 0 picks a free one.", min=0, max=65535)]
SizeOption = Annotated[int | None, typer.Option(help="With --data: side of the pictures, px; 8 or more.")]
ExpertsOption = Annotated[int | None, typer.Option(help="With --data: number of experts K, 1 to 1024.")]
StepsOption = Annotated[int | None, typer.Option(help="With --data: steps of each expert.", min=1)]
MaxRowsOption = Annotated[int | None, typer.Option(help="With --data: most training pictures.", min=20)]
CaptionsOption = Annotated[
    str | None,
    typer.Option(
        metavar="own|class|none|FIELD",
        help="With --data: captions of the pictures' own, classes for those without, none, or a field's name.",
    ),
]
CaptionerOption = Annotated[
    str | None, typer.Option(help="With --data: BLIP or BLIP-2 model for pictures without a caption.")
]
LicenceOption = Annotated[
    str | None, typer.Option(help="With --data: licence of pictures that state none, such as cc-by-4.0.")
]
AuthorOption = Annotated[str | None, typer.Option(help="With --data: author of pictures that state none.")]
AttributionOption = Annotated[str | None, typer.Option(help="With --data: credit line of the data.")]
IncludeOption = Annotated[
    list[str] | None, typer.Option(metavar="PATTERN", help="With --data: files to read, such as 'train/*'.")
]
SplitOption = Annotated[
    str | None, typer.Option(help="With --data: split to read.", show_default="train, if there are splits")
]
RevisionOption = Annotated[
    str | None, typer.Option(help="With --data: branch, tag or commit of a data set.", show_default="main")
]
ImageColumnOption = Annotated[str | None, typer.Option(help="With --data: column of the pictures in Parquet files.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="With --data: ask nothing, take the proposal.")]
