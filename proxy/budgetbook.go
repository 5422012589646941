package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
)

// budget is one budget with its counts since the start; it survives reloads that do not change it.
type budget struct {
	*policy.Budget
	spec                      policy.BudgetSpec
	deleted, throttled, trips atomic.Uint64
}

// budgets is the list of all budgets; it is replaced as a whole, never changed.
type budgets []*budget

// newBudgets makes the budgets of specs, and keeps the unchanged ones of old.
func newBudgets(specs []policy.BudgetSpec, old budgets) (budgets, error) {
	made, err := policy.NewBudgets(specs, limitersPerRule)
	if err != nil {
		return nil, err
	}
	var out budgets
	for i, m := range made {
		b := &budget{Budget: m, spec: specs[i]}
		for _, o := range old {
			if sameBudget(&o.spec, &b.spec) {
				b = o
			}
		}
		out = append(out, b)
	}
	return out, nil
}

func sameBudget(a, b *policy.BudgetSpec) bool {
	return a.Name == b.Name && a.Keys == b.Keys && a.Window == b.Window && a.Open == b.Open &&
		a.Per == b.Per && slices.Equal(a.Users, b.Users)
}

// budgetBook holds the budgets in force. All workers share it. It implements admin.BudgetBackend.
type budgetBook struct {
	list  atomic.Pointer[budgets]
	began time.Time // time 0 of the budgets' clock, which is one for all loops
}

// inForce returns nil without budgets, so that a request costs one load.
func (o *budgetBook) inForce() budgets {
	if p := o.list.Load(); p != nil {
		return *p
	}
	return nil
}

func (o *budgetBook) set(b budgets) {
	if len(b) == 0 {
		o.list.Store(nil)
		return
	}
	o.list.Store(&b)
}

func (o *budgetBook) clock() int64 { return int64(time.Since(o.began)) }

// Budgets implements admin.BudgetBackend.
func (o *budgetBook) Budgets(context.Context) ([]admin.Budget, error) {
	var out []admin.Budget
	for _, b := range o.inForce() {
		v := admin.Budget{
			Name: b.Name, Keys: b.Keys, Window: b.Window, Per: b.Per.String(),
			Deleted: b.deleted.Load(), Throttled: b.throttled.Load(), Trips: b.trips.Load(),
		}
		for _, st := range b.States(o.clock()) {
			v.Breakers = append(v.Breakers, admin.Breaker{
				Who: st.Who, Deleted: st.Deleted, Open: st.Open, Trips: st.Trips,
			})
		}
		out = append(out, v)
	}
	return out, nil
}

// ResetBudget implements admin.BudgetBackend.
func (o *budgetBook) ResetBudget(_ context.Context, name, user string) (open int, err error) {
	for _, b := range o.inForce() {
		if b.Name == name {
			return b.Reset(user, o.clock()), nil
		}
	}
	return 0, fmt.Errorf("no budget is called %q: see SHOW BUDGETS", name)
}

// counts returns the counts for the metrics.
func (o *budgetBook) counts() []telemetry.BudgetCount {
	var out []telemetry.BudgetCount
	for _, b := range o.inForce() {
		out = append(out, telemetry.BudgetCount{
			Name: b.Name, Deleted: b.deleted.Load(), Throttled: b.throttled.Load(),
			Trips: b.trips.Load(),
		})
	}
	return out
}
