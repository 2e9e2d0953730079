"""Dify's service API: how each kind of app is asked (`body`), what it sends (`wire`), when that is over (`ending`), and
what is asked over HTTP (`client`)."""
