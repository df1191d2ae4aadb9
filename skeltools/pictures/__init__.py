"""What is drawn, and how it looks: one design for the viewer, the report and the pictures of clips.

    clip -> scene (what is drawn) -> viewer (a page), render (a file)

``design`` has the colours, ``scene`` what one picture shows as plain arrays and as JSON, ``sides``
which joints are left and right. They are light: NumPy and schemas alone.

    store -> listing (what the page asks for) -> browsed (of a request) -> server -> page/ in the browser
"""
