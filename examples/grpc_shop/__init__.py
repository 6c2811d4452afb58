"""The shop as a gRPC service, with threads and with asyncio, and interceptors around it."""
