package proxy

import (
	"context"
	"time"

	"holdfast/proxy/admin/page"
	"holdfast/proxy/trend"
)

// noteEvery is the interval at which the hits are read: a sixth of the smallest step of their history.
const noteEvery = 10 * time.Second

// hitHistory keeps the recent history of the rules' hits, and of the keys that the budgets counted. It implements
// page.Backend's part.
type hitHistory struct {
	rules   ruleConsole
	budgets *budgetBook

	reading           chan struct{} // held while totals are read and noted, so that no older ones follow newer ones
	ofRules, ofBudget *trend.Book
}

func newHitHistory(rules ruleConsole, budgets *budgetBook) *hitHistory {
	now := time.Now()
	return &hitHistory{rules: rules, budgets: budgets, reading: make(chan struct{}, 1), ofRules: trend.New(now),
		ofBudget: trend.New(now)}
}

// run notes the hits until ctx ends. Joined by Server.stop.
func (h *hitHistory) run(ctx context.Context) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			// Loops that do not answer are reported elsewhere. Their hits count later.
			_ = h.note(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// note reads the totals.
func (h *hitHistory) note(ctx context.Context) error {
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	rules, err := h.rules.Rules(ctx)
	if err != nil {
		return err
	}
	hits, keys := make(map[string]uint64, len(rules)), map[string]uint64{}
	for i := range rules {
		hits[rules[i].Name] = rules[i].Hits()
	}
	for _, b := range h.budgets.inForce() {
		keys[b.Name] = b.deleted.Load()
	}
	now := time.Now()
	h.ofRules.Note(now, hits)
	h.ofBudget.Note(now, keys)
	return nil
}

// Trends implements page.Backend.
func (h *hitHistory) Trends(ctx context.Context) (*page.Trends, error) {
	if err := h.note(ctx); err != nil {
		return nil, err
	}
	now := time.Now()
	return &page.Trends{Rules: h.ofRules.Trends(now), Budgets: h.ofBudget.Trends(now)}, nil
}
