"""Reports: results, tables, pictures and the page."""
