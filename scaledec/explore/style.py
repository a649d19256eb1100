"""How the page looks: one sheet for the page, set once for everything in it."""

__all__ = ["STYLE"]

STYLE = """
body { margin: 0; background: #ffffff; }
body, .bk-panel-models-markup-HTML { font-family: system-ui, "DejaVu Sans", sans-serif; }
"""
