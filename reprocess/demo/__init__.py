"""The demonstration, and the embedded S3 endpoint that it runs on."""
