"""The demo's Spotify over HTTP: the accounts service and the Web API."""
