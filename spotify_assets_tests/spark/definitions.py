"""Two daily tables in Spark's SQL, from the data dictionary's words alone: nothing of it is taken from our code.

Every column of both can be computed from `clean.plays`. But `daily.listening` has a row for each day from the first
play to today, and which day that was when it was built stands in no play: `clean.days` tells.

Where the dictionary leaves a choice: of spellings that were played equally often on a day, the first by code point.
"""

from __future__ import annotations

LISTENING = """
WITH of_tracks AS (
    SELECT listener, played_on,
        count(*) AS plays,
        count_if(is_stream) AS streams,
        count_if(is_scrobble) AS scrobbles,
        count_if(is_finished) AS finished,
        count_if(is_skip) AS skips,
        sum(ms_played) AS ms_played,
        sum(ms_played) FILTER (WHERE is_ms_played_estimated) AS ms_played_estimated,
        count(DISTINCT track_key) AS tracks,
        count(DISTINCT artist_key) AS artists,
        count(DISTINCT album_key) AS albums,
        count_if(is_first_play_of_track) AS new_tracks,
        count_if(is_first_play_of_artist) AS new_artists,
        count_if(is_first_play_of_album) AS new_albums,
        count_if(is_shuffle) AS shuffle_plays,
        count_if(is_offline) AS offline_plays,
        count_if(is_incognito) AS incognito_plays
    FROM plays WHERE content_type = 'track'
    GROUP BY listener, played_on
),
of_all AS (
    SELECT listener, played_on,
        count_if(content_type = 'episode') AS episode_plays,
        sum(ms_played) FILTER (WHERE content_type = 'episode') AS episode_ms_played,
        count_if(content_type = 'audiobook') AS audiobook_plays,
        sum(ms_played) FILTER (WHERE content_type = 'audiobook') AS audiobook_ms_played,
        count_if(content_type = 'unknown') AS unknown_plays,
        sum(ms_played) FILTER (WHERE content_type = 'unknown') AS unknown_ms_played,
        min(started_at) AS first_started_at,
        max(ended_at) AS last_ended_at
    FROM plays
    GROUP BY listener, played_on
),
of_sessions AS (
    SELECT listener, played_on, count(*) AS sessions, max(length_ms) AS longest_session_ms
    FROM (
        SELECT listener, session_id, session_started_on AS played_on,
            unix_millis(max(ended_at)) - unix_millis(min(started_at)) AS length_ms
        FROM plays
        GROUP BY listener, session_id, session_started_on
    )
    GROUP BY listener, played_on
)
SELECT listener, played_on,
    coalesce(plays, 0) AS plays, coalesce(streams, 0) AS streams, coalesce(scrobbles, 0) AS scrobbles,
    coalesce(finished, 0) AS finished, coalesce(skips, 0) AS skips, coalesce(ms_played, 0) AS ms_played,
    coalesce(ms_played_estimated, 0) AS ms_played_estimated, coalesce(tracks, 0) AS tracks,
    coalesce(artists, 0) AS artists, coalesce(albums, 0) AS albums, coalesce(new_tracks, 0) AS new_tracks,
    coalesce(new_artists, 0) AS new_artists, coalesce(new_albums, 0) AS new_albums,
    coalesce(sessions, 0) AS sessions, coalesce(longest_session_ms, 0) AS longest_session_ms,
    coalesce(shuffle_plays, 0) AS shuffle_plays, coalesce(offline_plays, 0) AS offline_plays,
    coalesce(incognito_plays, 0) AS incognito_plays, coalesce(episode_plays, 0) AS episode_plays,
    coalesce(episode_ms_played, 0) AS episode_ms_played, coalesce(audiobook_plays, 0) AS audiobook_plays,
    coalesce(audiobook_ms_played, 0) AS audiobook_ms_played, coalesce(unknown_plays, 0) AS unknown_plays,
    coalesce(unknown_ms_played, 0) AS unknown_ms_played, first_started_at, last_ended_at
FROM (SELECT listener, played_on FROM days)
LEFT JOIN of_tracks USING (listener, played_on)
LEFT JOIN of_all USING (listener, played_on)
LEFT JOIN of_sessions USING (listener, played_on)
"""

ARTISTS = """
WITH spelled AS (
    SELECT listener, played_on, artist_key, artist_name, count(*) AS plays
    FROM plays WHERE content_type = 'track' AND artist_key IS NOT NULL
    GROUP BY listener, played_on, artist_key, artist_name
),
named AS (
    SELECT listener, played_on, artist_key, artist_name
    FROM spelled
    QUALIFY row_number() OVER (PARTITION BY listener, played_on, artist_key ORDER BY plays DESC, artist_name) = 1
),
counted AS (
    SELECT listener, played_on, artist_key,
        count(*) AS plays,
        count_if(is_stream) AS streams,
        count_if(is_skip) AS skips,
        count_if(is_finished) AS finished,
        coalesce(sum(ms_played), 0) AS ms_played,
        coalesce(sum(ms_played) FILTER (WHERE is_ms_played_estimated), 0) AS ms_played_estimated,
        count_if(is_first_play_of_artist) > 0 AS is_new
    FROM plays WHERE content_type = 'track' AND artist_key IS NOT NULL
    GROUP BY listener, played_on, artist_key
)
SELECT listener, played_on, artist_key, artist_name, plays, streams, skips, finished, ms_played, ms_played_estimated,
    CAST(rank() OVER (PARTITION BY listener, played_on ORDER BY plays DESC) AS BIGINT) AS rank_by_plays,
    CAST(rank() OVER (PARTITION BY listener, played_on ORDER BY ms_played DESC) AS BIGINT) AS rank_by_ms_played,
    is_new
FROM counted JOIN named USING (listener, played_on, artist_key)
"""
