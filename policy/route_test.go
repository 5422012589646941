package policy

import "testing"

func TestRouteMatchBasics(t *testing.T) {
	r, err := NewRoutes(nil, []RouteSpec{
		{Name: "pay", Keys: []string{"pay:*"}, Demand: Demand{Journal: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]bool{
		"SET pay:1 v": true, "GET pay:1": false, "set other v": false, "FLUSHALL": true,
		"MSET a 1 pay:2 2": true, "PUBLISH pay:1 x": false, "NOSUCH": true,
	} {
		args := split(line)
		m := r.Match(&Request{Cmd: r.table.Lookup(args), Args: args})
		if (m.Route != nil) != want {
			t.Errorf("%s: matches %v", line, m)
		}
	}
}
