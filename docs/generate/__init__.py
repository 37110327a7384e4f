"""Makes docs/reference/ and docs/examples.md: the pages that say what the tables of the library say."""
