"""Protocol `clavilux.v1` without I/O: text and binary messages, read and written. It knows no stage."""
