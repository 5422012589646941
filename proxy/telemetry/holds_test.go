package telemetry

import "testing"

// A reply that is held across a reload counts for the route of the same name, wherever that stands
// now, and for none if there is none any more.
func TestRoutesOfAReload(t *testing.T) {
	c := NewCounters(&Labels{Routes: []string{"pay", "ledger"}})
	pay, ledger := c.Routes[0], c.Routes[1]
	pay.Held, ledger.Held = 1, 1
	c.Relabel(&Labels{Routes: []string{"new", "ledger"}})
	ledger.Held--
	ledger.Outcomes[HoldConfirmed]++
	pay.Held--
	pay.Outcomes[HoldConfirmed]++
	if c.Routes[1] != ledger {
		t.Error("the route that stayed has other counters")
	}
	if got := c.Routes[1]; got.Held != 0 || got.Outcomes[HoldConfirmed] != 1 {
		t.Errorf("the route that stayed: got %+v", got)
	}
	if got := c.Routes[0]; got.Held != 0 || got.Outcomes[HoldConfirmed] != 0 {
		t.Errorf("the new route: got %+v", got)
	}
}

// Two loops see demands and kinds in different orders.
func TestDemandsAndFencesAreAddedByName(t *testing.T) {
	a, b := NewCounters(&Labels{}), NewCounters(&Labels{})
	a.Fence("journal").Holds, a.Fence("replicas 1").Holds = 1, 2
	b.Fence("replicas 1").Holds, b.Fence("aof local").Holds = 10, 20
	a.Demand("journal").Hold.Observe(1)
	b.Demand("replicas 1").Hold.Observe(1)
	b.Demand("journal").Hold.Observe(1)
	a.Add(b)
	for kind, want := range map[string]uint64{"journal": 1, "replicas 1": 12, "aof local": 20} {
		if got := a.Fence(kind).Holds; got != want {
			t.Errorf("%s: got %d, want %d", kind, got, want)
		}
	}
	if n := a.Demand("journal").Hold.Count(); n != 2 {
		t.Errorf("journal: got %d holds, want 2", n)
	}
	if b.Fence("aof local") == a.Fence("aof local") || len(b.Fences) != 2 {
		t.Error("Add shares what it adds, or changes it")
	}
}
