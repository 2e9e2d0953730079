"""Dify's service API: what it sends (`wire`), when a stream is over (`ending`), and how it is asked (`client`)."""
