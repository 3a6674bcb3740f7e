"""Camera ingestion, encoder and perception heads: any real camera in, the rig's pictures out."""
