"""What arrived: rows of privacy exports, the ledger of imports and the quarantine. Append-only.

Tables that the Spotify Web API fills belong in `raw_api`. Nothing derived belongs here, but for the hashes and the
occurrence number that make two tellings of one row recognisable.
"""

from __future__ import annotations

from spotify_assets.schemas.table import Layout, Table, count, instant, text, whole_number, yes_or_no

SAYS: dict[str, int] = {
    name: 1 << position
    for position, name in enumerate(
        (
            "track_uri",
            "episode_uri",
            "audiobook_uri",
            "chapter_uri",
            "track_name",
            "artist_name",
            "album_name",
            "episode_name",
            "show_name",
            "audiobook_name",
            "author_name",
            "chapter_name",
            "reason_start",
            "reason_end",
            "platform",
            "conn_country",
            "shuffle",
            "incognito_mode",
            "offline",
            "skipped",
            "offline_timestamp",
        )
    )
}
"""Bits of `raw.streaming_history.says`: which fields a row tells. `skipped` counts only when it is true or no reason is
told, and `offline_timestamp` only on offline plays: for years Spotify wrote null, false or 0 there by turns, which says
nothing and would make every row of a later export look as if it knew more."""


class StreamingHistory(Table):
    """One row for each distinct row of streaming history that an export told, without its personal fields.

    Format: https://support.spotify.com/article/understanding-my-data/ (extended streaming history and account data).
    """

    layout = Layout("raw", "streaming_history", month_column="ts", sort=("ts", "row_id"))

    listener = text("Whose history it is.", key=True)
    import_id = whole_number("The earliest import that told this row (raw.imports).")
    kind = text("extended (Extended streaming history) or basic (account data, last year).")
    generation = text("Key generation of the file: pre2020, G0, G1, G2, G3, G3+ (newer keys), basic or basic_mixed.")
    ts = instant(
        "When the play ended as the export says it: whole seconds (extended) or minutes (basic). For offline plays "
        "the time of the later sync."
    )
    ms_played = whole_number("How long it was played, in milliseconds.", minimum=0, maximum=86_400_000)
    track_name = text("master_metadata_track_name, or trackName.", nullable=True)
    artist_name = text("Name of the album's artist, as the export names it.", nullable=True)
    album_name = text("Album name; unknown to basic exports.", nullable=True)
    track_id = text("Spotify id of the track (22 characters); NULL for local files.", nullable=True)
    track_uri = text("spotify_track_uri.", nullable=True)
    episode_name = text("Podcast episode.", nullable=True)
    show_name = text("Podcast show.", nullable=True)
    episode_uri = text("spotify_episode_uri.", nullable=True)
    audiobook_name = text("audiobook_title, or audiobookName.", nullable=True)
    author_name = text("authorName; only basic exports tell it.", nullable=True)
    audiobook_uri = text("URI of the audiobook.", nullable=True)
    chapter_name = text("Chapter of the audiobook.", nullable=True)
    chapter_uri = text("URI of the chapter.", nullable=True)
    reason_start = text("Why the play began; an open vocabulary.", nullable=True)
    reason_end = text("Why the play ended; an open vocabulary.", nullable=True)
    platform = text("Device platform as Spotify words it.", nullable=True)
    conn_country = text("Country of the connection, ISO 3166-1 alpha-2.", nullable=True)
    shuffle = yes_or_no("Shuffle was on.", nullable=True)
    skipped = yes_or_no("Spotify's own mark; NULL or false for whole years.", nullable=True)
    offline = yes_or_no("Played without a connection.", nullable=True)
    offline_timestamp = whole_number(
        "As told: seconds (since 2023) or milliseconds (2020-22) since 1970, also 0 or junk.", nullable=True
    )
    incognito_mode = yes_or_no("Played in a private session.", nullable=True)
    unknown_keys = text(
        "JSON object of keys that no known generation has; where a key's name smells of a person only the name is "
        "kept, its value is null.",
        nullable=True,
    )
    row_id = whole_number("Number of the row in this lakehouse.", key=True)
    file_id = whole_number("The file that told this row first (raw.imports).")
    row_number = whole_number("Position of the row in that file, from 1.", minimum=1)
    occurrence = whole_number(
        "Which repetition of its play in its export it is, from 1; a row that says more about the same play than a "
        "stored one bears that one's number.",
        minimum=1,
    )
    uri_hash = whole_number("Hash of the row's URI; NULL without one.", nullable=True)
    names_hash = whole_number("Hash of all names of the row; NULL without any.", nullable=True)
    title_hash = whole_number("Hash of the case-folded creator and title; NULL without both.", nullable=True)
    context_hash = whole_number("Hash of the URIs, reasons, platform, country and flags (not of skipped, see SAYS).")
    says = whole_number("Bit mask of the fields that the row tells (`SAYS`).", minimum=0)


class Imports(Table):
    """The ledger: one row for each file of each import. rows_in = rows_new + rows_known + rows_rejected."""

    layout = Layout("raw", "imports", sort=("listener", "import_id", "file_id"))

    listener = text("Whose export it is.", key=True)
    import_id = whole_number("Number of the import in this lakehouse.", key=True)
    file_name = text("Name of the file inside its zip or folder.")
    sha256 = text("Checksum of the file's bytes, hexadecimal.")
    kind = text("extended, basic, library or playlists.")
    generation = text("Key generation of the file.", nullable=True)
    rows_in = count("Rows that the file holds.")
    rows_new = count("Rows stored by this import.")
    rows_known = count("Rows that were stored already.")
    rows_rejected = count("Rows in raw.rejected_rows.")
    first_ts = instant("Earliest `ts` among the accepted rows.", nullable=True)
    last_ts = instant("Latest `ts` among the accepted rows.", nullable=True)
    imported_at = instant("When the import began.")
    export_name = text("Name of the zip or folder that the file came in, without its path.")
    file_id = whole_number("Number of the file: equal for equal listener and sha256.", key=True)
    unknown_keys = text("JSON object: key that no known generation has -> rows that hold it.", nullable=True)
    snapshot_at = instant("For library files: the moment that they describe, at the latest.", nullable=True)
    reader_version = whole_number("Version of the reader; files read by an older one are read again.")


class RejectedRows(Table):
    """Quarantine: rows of export files that could not be taken in, and why."""

    layout = Layout("raw", "rejected_rows", sort=("listener", "file_id", "row_number"))

    listener = text("Whose export it is.", key=True)
    import_id = whole_number("The import that met the row first.")
    file_id = whole_number("The file (raw.imports).", key=True)
    file_name = text("Name of the file inside its zip or folder.")
    row_number = whole_number("Position of the row in the file, from 1.", key=True, minimum=1)
    reason = text("Why it was rejected, for a person.")
    row_json = text("The row as JSON, without personal fields.", nullable=True)


class ToldRows(Table):
    """Which file told which stored row and occurrence: what `imports forget` may take back.

    Rows that follow one another in the file and in their table stand as one run.
    """

    layout = Layout("raw", "told_rows", sort=("file_id", "source_table", "row_id"))

    file_id = whole_number("The file (raw.imports).", key=True)
    source_table = text("Table of the rows, such as raw.streaming_history.", key=True)
    row_id = whole_number("Number of the first row in that table.", key=True)
    row_number = whole_number("Position of the first row in the file, from 1.", minimum=1)
    rows = whole_number("How many rows the run has; NULL, in homes of older versions, is 1.", nullable=True, minimum=1)


class LibraryItems(Table):
    """One row for each distinct entry of YourLibrary.json."""

    layout = Layout("raw", "library_items", sort=("row_id",))

    listener = text("Whose library it is.", key=True)
    import_id = whole_number("The earliest import that told this row.")
    item_type = text("Section of the file: track, album, artist, show, episode, or another that Spotify adds.")
    uri = text("Spotify URI.", nullable=True)
    item_name = text("Name of the track, album, artist, show or episode.", nullable=True)
    creator_name = text("Artist or publisher.", nullable=True)
    album_name = text("Album of a track.", nullable=True)
    row_id = whole_number("Number of the row in this lakehouse.", key=True)
    file_id = whole_number("The file that told this row first.")
    row_number = whole_number("Position of the entry in that file, from 1.", minimum=1)
    occurrence = whole_number("Which of equal entries in one file it is, from 1.", minimum=1)
    row_hash = whole_number("Hash of what the entry says.")


class LibraryPlaylistItems(Table):
    """One row for each distinct entry of a playlist in Playlist*.json; an empty playlist has one row without item."""

    layout = Layout("raw", "library_playlist_items", sort=("row_id",))

    listener = text("Whose playlist it is.", key=True)
    import_id = whole_number("The earliest import that told this row.")
    playlist_name = text("Name of the playlist.")
    playlist_description = text("Description of the playlist.", nullable=True)
    playlist_followers = whole_number("numberOfFollowers.", nullable=True)
    playlist_modified_on = text("lastModifiedDate as told.", nullable=True)
    playlist_number = whole_number("Position of the playlist in the file, from 1.", minimum=1)
    position = whole_number("Position of the entry in the playlist, from 1; NULL for an empty playlist.", nullable=True)
    item_type = text("track, episode, audiobook, local or unknown; NULL for an empty playlist.", nullable=True)
    uri = text("Spotify URI; older exports and local files have none.", nullable=True)
    item_name = text("Name of the track, episode or audiobook.", nullable=True)
    creator_name = text("Artist, show or author.", nullable=True)
    album_name = text("Album of a track.", nullable=True)
    added_on = text("addedDate as told.", nullable=True)
    row_id = whole_number("Number of the row in this lakehouse.", key=True)
    file_id = whole_number("The file that told this row first.")
    row_number = whole_number("Position of the entry in that file, from 1.", minimum=1)
    occurrence = whole_number("Which of equal entries in one file it is, from 1.", minimum=1)
    row_hash = whole_number("Hash of what the entry says.")
