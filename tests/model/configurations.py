from tests.model.state import Budget, Event
from tests.model.world import Configuration, Guards
TWO = (Event(0, 0, 1), Event(0, 1, 2))
C = Configuration
SMALL = [
 C("one", TWO, (((1,),(2,)),), budget=Budget(crash=1)),
 C("one failover", TWO, (((1,),(2,)),), budget=Budget(failover=1, crash=1)),
 C("zombie+crash+failover", TWO, (((1,),(2,)),), workers=(0,0), budget=Budget(failover=1, crash=1, lease=1)),
 C("2 sources failover 2", TWO, (((1,),),((2,),)), workers=(0,1), budget=Budget(failover=2)),
 C("2 sources failover 1 crash flush", TWO, (((1,),),((2,),)), workers=(0,1), budget=Budget(failover=1,crash=1,flush=1)),
]
