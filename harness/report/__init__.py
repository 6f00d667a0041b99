"""What a check found, and the forms of it: words, Markdown, HTML, JSON, a history. No form decides anything."""
