"""Any sound becomes checked samples, 16 kHz mono, in a ring: format, resampling, window, files, sound cards."""
