"""Training in several processes on one machine, one for each GPU: launcher, worker, and their process group."""
