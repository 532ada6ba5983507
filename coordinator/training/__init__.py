"""Training on the organiser's machine: the warm start, the router, the student.

pooled.py          training on the pooled shards of all clusters
warm_start.py      `paris-coord warm-start`: the model that all experts start from
router_request.py  `paris-coord train-router`: by the running service, or in this process
router.py          the router job
router_samples.py  `--from-samples`: training rows drawn from the experts
distill.py         `paris-coord distill`: the experts as one dense model
student_scores.py  held-out losses of the student and its teachers
"""
