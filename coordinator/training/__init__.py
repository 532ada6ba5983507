"""What the organiser's machine trains: a common start, the router, a student.

all_clusters.py    Training on the organiser's own machine, on the shards of all clusters: a common start
distill.py         `paris-coord distill`: the run's experts as one dense model
router.py          Router training: by `paris-coord train-router`, or by the running service as a child process
router_request.py  `paris-coord train-router`: by the running service where there is one, else here and now
router_samples.py  `paris-coord train-router --from-samples`: each expert draws rows, once
student_scores.py  How near a student came to its teachers on the secret held-out rows
warm_start.py      `paris-coord warm-start`: one short training on all the data, from which all experts then start
"""
