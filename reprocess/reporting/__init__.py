"""Outcomes to words and pictures: summaries, the text report, the HTML page, quick looks."""
