"""The HTTP API under the viewer: `/api/ot/v1/*`, its OpenAPI document, and the viewer's own files.

    request -> `guard` (who may ask, how often)  -> `routes` (what is asked, by name and type)
            -> `listing`, `spans`, `transcript` ... (what a store says, as `answers` declares it)

Everything is read through `reading.Reader`, on threads, from one snapshot each; every text is
redacted on its way out. Names and types are public: docs/viewer-api.md, ui/openapi.json.
"""
