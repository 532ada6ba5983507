"""The ways of signed records between this node and the coordinator.

ways.py         chooses the way, for each record and each read
way.py          what a way is
line.py         directly, with each request answered
dht.py          through the run's DHT
hub.py          through the run's Hub, where no other way answers
"""
