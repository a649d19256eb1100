"""Station metadata of a configuration: read for planning, told in plan and status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaledec.config import Config
from scaledec.location import Location
from scaledec.pipeline.outcome import Failure
from scaledec.places import Places

if TYPE_CHECKING:
    from scaledec.archive.listing import Listing
    from scaledec.archive.stations import Stations
    from scaledec.stages.cube_plan import CubePlan

__all__ = ["outside_words", "stations_of", "stations_sentence", "unusable_metadata"]


def stations_of(config: Config, listing: Listing, notes: Places | None = None) -> Stations | None:
    """Metadata of the channels listed; ``None`` where the configuration names none.

    What is read is kept below the root, or below ``notes``.

    Raises
    ------
    ArchiveError
        If ``archive.stationxml`` holds no document, or none that can be read.
    """
    from scaledec.archive.station_index import read_stations
    from scaledec.stages.cube_settings import gains_wanted

    if config.archive.stationxml is None:
        return None
    places = notes or Places.at(config.root, config.storage_options)
    grid = config.spectrogram_grid
    start_ns, end_ns = listing.span
    return read_stations(
        _place(config, config.archive.stationxml),
        listing.channels,
        index=places.stations,
        responses=places.responses,
        request=gains_wanted(config.spectrogram, grid),
        # Segments reach beyond what is listed, and their last frames a little further.
        start_ns=start_ns - grid.segment_ns,
        end_ns=end_ns + 2 * grid.segment_ns,
    )


def stations_sentence(config: Config, stations: Stations, plan: CubePlan, listing: Listing) -> str:
    """How many channels have coordinates and, where they are removed, responses; what is left out."""
    channels = listing.channels
    epochs = [stations.epoch(channel, listing.span[1] - 1) for channel in channels]
    known = [epoch for epoch in epochs if epoch is not None]
    sentence = f"{len(known)} of {len(channels)} channels have coordinates"
    if config.spectrogram.response is not None:
        flat = sum(epoch.gain_only for epoch in known)
        sentence += f", {sum(epoch.response is not None for epoch in known)} a response"
        sentence += f" ({flat} of them a sensitivity alone, taken as flat)" if flat else ""
    return sentence + outside_words(plan)


def outside_words(plan: CubePlan) -> str:
    """What follows a list of counts where segments lie outside operating epochs."""
    return f", {plan.n_outside} segments outside operating epochs left out" if plan.n_outside else ""


def unusable_metadata(plan: CubePlan, stations: Stations | None) -> list[Failure]:
    """Documents that could not be read, what the archive lists outside every operating epoch, and channels
    whose coordinates are needed and missing.
    """
    documents = () if stations is None else stations.unreadable
    return [
        *(Failure(key, reason) for key, reason in documents),
        *(Failure(str(found.channel), str(found)) for found in plan.outside),
        *(
            Failure(
                str(channel),
                f"{'' if stations is None else stations.source} does not tell where it stands: it has no "
                "window at any origin of windows.catalog",
            )
            for channel in plan.unlocated
        ),
    ]


def _place(config: Config, url: str) -> Location:
    """Where the metadata lie; the archive's storage options are for places of its own scheme."""

    archive = config.archive
    same = (
        url.partition("://")[0] == archive.url.partition("://")[0]
        if "://" in url
        else "://" not in archive.url
    )
    return Location(url, archive.storage_options if same else {}, archive.access.settings)
