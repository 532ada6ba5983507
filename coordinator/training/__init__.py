"""Training on the organiser's machine: the warm start, the reference, the router, the student.

pooled.py          training on the shards of all clusters, or of one
warm_start.py      `paris-coord warm-start`: the model that all experts start from
reference.py       `paris-coord reference`: what experts have learned by which step
router_request.py  `paris-coord train-router`: by the running service, or in this process
router.py          the router job
router_samples.py  `--from-samples`: training rows drawn from the experts
distill.py         `paris-coord distill`: the experts as one dense model
grids.py           grids of samples for the page
lane_means.py      the mean of the states of an expert's lanes
student_scores.py  held-out losses of the student and its teachers
"""
