"""Servers for the tests of the mirror."""

from spotify_assets_tests.lakehouse.s3_servers import moto_address, s3_keys, s3_server, signing_server

__all__ = ["moto_address", "s3_keys", "s3_server", "signing_server"]
