package policy

import (
	"fmt"
	"testing"
)

// tenantRoutes is n routes, each about the keys of a tenant of its own.
func tenantRoutes(n int) []RouteSpec {
	specs := make([]RouteSpec, n)
	for i := range specs {
		specs[i] = RouteSpec{Name: fmt.Sprint(i), Demand: Demand{Replicas: 1 + i},
			Keys: []string{fmt.Sprintf("tenant:%d:*", i), fmt.Sprintf("{t%d}:ledger:*:open", i)}}
	}
	return specs
}

// BenchmarkRoutes shows what routes cost: a read nothing, a write on none of them a look at the
// beginning of its key, and one that is on a route a walk along its key, however many there are.
func BenchmarkRoutes(b *testing.B) {
	for _, n := range []int{1, 50, 1000} {
		r := mustRoutes(b, tenantRoutes(n))
		for _, line := range []string{"GET tenant:0:balance", "SET session:123456 v",
			"INCR tenant:0:balance", "HSET {t0}:ledger:77:open f v", "MSET a 1 b 2 c 3 d 4"} {
			b.Run(fmt.Sprintf("routes=%d/%s", n, line), func(b *testing.B) {
				benchmarkMatch(b, r, line)
			})
		}
	}
}

// BenchmarkRoutesByUser has routes that ask who sends the request.
func BenchmarkRoutesByUser(b *testing.B) {
	for _, n := range []int{1, 50, 1000} {
		var specs []RouteSpec
		for i := range n {
			specs = append(specs, RouteSpec{Name: fmt.Sprint(i), Demand: Demand{Replicas: 1},
				Users: []string{fmt.Sprintf("app%d", i), fmt.Sprintf("job%d-*", i)}})
		}
		r := mustRoutes(b, specs)
		for _, user := range []string{"app0", "nobody"} {
			b.Run(fmt.Sprintf("routes=%d/%s", n, user), func(b *testing.B) {
				benchmarkMatch(b, r, "user="+user+" SET k v")
			})
		}
	}
}

func benchmarkMatch(b *testing.B, r *Routes, line string) {
	req := routeRequest(b, r, line)
	b.ReportAllocs()
	for b.Loop() {
		r.Match(req)
	}
}
