"""Reports for people: values in, one self-contained HTML file out. Plots are inline SVG; nothing is loaded."""
