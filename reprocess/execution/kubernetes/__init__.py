"""Workers as pods: a run as a Job of Kubernetes that asks for them, and for as many as its work is worth."""
