package candidates

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal/place"
)

// Watcher follows the candidates. Start begins, Stop ends it; it is used once.
type Watcher struct {
	o       Options
	view    atomic.Pointer[View]  // never nil
	known   atomic.Pointer[Known] // for the next Watcher; nil: no primary
	found   chan struct{}         // closed when settled and a primary is known
	settled chan struct{}         // closed when every candidate has answered or failed to

	stop    context.CancelFunc // nil before Start
	done    chan struct{}      // closed when run has ended
	asking  sync.WaitGroup     // goroutines of candidates
	reports chan report
	hurry   atomic.Bool
	all     []*tracked // its members are run's
	places  place.Book

	// Owned by run.
	primary string
	lineage *lineage // of primary
}

// tracked is a candidate. Only run uses it, but for address and now.
type tracked struct {
	candidate
	now     chan struct{} // one token: ask now
	err     error         // why it does not answer
	told    bool          // that it does not answer
	replica string        // the run id of its process when it was a replica last; "": it was none
}

// report is an account of a candidate, or the reason why there is none.
type report struct {
	from    *tracked
	account *account
	err     error
}

// New returns a Watcher that has not begun.
func New(o Options) *Watcher {
	w := &Watcher{o: o.withDefaults(), found: make(chan struct{}), settled: make(chan struct{}),
		done: make(chan struct{}), reports: make(chan report)}
	v := &View{Why: "no candidate has answered yet"}
	for _, a := range o.Addresses {
		w.all = append(w.all, &tracked{candidate: candidate{address: a}, now: make(chan struct{}, 1)})
		v.Candidates = append(v.Candidates, Candidate{Address: a})
	}
	w.goOn(v)
	w.view.Store(v)
	w.hurry.Store(true)
	return w
}

// goOn takes over a primary that was watched up to now, if it is still a candidate.
func (w *Watcher) goOn(v *View) {
	k := w.o.Known
	if k == nil || !k.Watched || !slices.Contains(w.o.Addresses, k.Primary) {
		return
	}
	w.primary, w.lineage = k.Primary, k.Lineage.clone()
	v.Primary, v.Why = k.Primary, "it was the primary before"
}

// Known returns the primary and its history, for the next Watcher; nil: there is none.
func (w *Watcher) Known() *Known { return w.known.Load() }

// View returns the present view. It takes no lock.
func (w *Watcher) View() *View { return w.view.Load() }

// Start follows the candidates until ctx ends or Stop is called.
func (w *Watcher) Start(ctx context.Context) {
	ctx, w.stop = context.WithCancel(ctx)
	go w.run(ctx)
}

// Stop ends the following and waits for it. Call it after Start, once.
func (w *Watcher) Stop() {
	w.stop()
	<-w.done
}

// Await waits until a primary is known. The error says why none is at the end of ctx.
func (w *Watcher) Await(ctx context.Context) (primary string, err error) {
	select {
	case <-w.found:
		return w.View().Primary, nil
	case <-ctx.Done():
		return "", fmt.Errorf("no primary is known: %s", w.View().Reason())
	}
}

// Settle waits until every candidate has answered or failed to, at most until ctx ends, and returns
// the View.
func (w *Watcher) Settle(ctx context.Context) *View {
	select {
	case <-w.settled:
	case <-ctx.Done():
	}
	return w.View()
}

// Look has every candidate asked now: something may have changed.
func (w *Watcher) Look() {
	for _, t := range w.all {
		select {
		case t.now <- struct{}{}:
		default:
		}
	}
}

// run is the Watcher's goroutine.
func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	defer w.asking.Wait()
	for _, t := range w.all {
		w.asking.Go(func() { w.attend(ctx, t) })
	}
	for {
		select {
		case r := <-w.reports:
			w.take(&r)
			w.judge()
		case <-ctx.Done():
			return
		}
	}
}

// attend is a candidate's goroutine: it asks, and reports each answer.
func (w *Watcher) attend(ctx context.Context, t *tracked) {
	var conn Conn
	var opened time.Time
	leave := func() {
		if conn != nil {
			conn.Close()
			conn = nil
		}
	}
	defer func() { leave() }()
	for ctx.Err() == nil {
		if conn != nil && time.Since(opened) >= w.o.Renew {
			leave()
		}
		r := report{from: t}
		if conn == nil {
			conn, r.err = w.o.Open(ctx, t.address)
			opened = time.Now()
		}
		if r.err == nil {
			r.account, r.err = ask(conn)
		}
		w.learnPlaces(ctx, &r)
		if r.err != nil {
			leave()
		}
		select {
		case w.reports <- r:
		case <-ctx.Done():
			return
		}
		w.rest(ctx, t)
	}
}

// learnPlaces looks up the names in the addresses that a report is compared by. One that is not known is compared as a text.
func (w *Watcher) learnPlaces(ctx context.Context, r *report) {
	all := []string{r.from.address}
	if r.account != nil {
		all = append(all, r.account.follows)
	}
	if w.o.Known != nil {
		all = append(all, w.o.Known.Primary)
	}
	if err := w.places.Learn(ctx, all...); err != nil && ctx.Err() == nil {
		w.o.Logger.Debug("the address of a server is not known", "error", err)
	}
}

// rest waits for the next turn.
func (w *Watcher) rest(ctx context.Context, t *tracked) {
	wait := w.o.Interval
	if w.hurry.Load() {
		wait = w.o.Hurry
	}
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
	case <-t.now:
	case <-ctx.Done():
	}
}

// take takes a report.
func (w *Watcher) take(r *report) {
	t, log := r.from, w.o.Logger.With("candidate", r.from.address)
	before := t.account
	t.asked, t.account, t.err = true, r.account, r.err
	t.starting = errors.Is(r.err, errStarting)
	a := r.account
	if a == nil {
		if !t.told {
			t.told = true
			log.Warn("a candidate does not answer", "error", r.err)
		}
		return
	}
	if !a.master {
		t.replica = a.runID
	}
	a.replica = a.replica || a.runID != "" && t.replica == a.runID
	if t.told || before == nil || before.master != a.master || before.follows != a.follows {
		role := "primary"
		if !a.master {
			role = "replica of " + a.follows
		}
		log.Info("a candidate answers", "role", role, "history", a.replid, "continues", a.replid2)
	}
	t.told = false
}

// judge decides by the present facts.
func (w *Watcher) judge() {
	var all []candidate
	asked := true
	for _, t := range w.all {
		all = append(all, t.candidate)
		asked = asked && t.asked
	}
	f := w.facts(all)
	v := judge(f)
	if v.primary != w.primary {
		w.adopt(f, v.primary)
	}
	if w.primary != "" {
		w.known.Store(&Known{Primary: w.primary, Lineage: w.lineage.clone(), Watched: true})
	}
	before := w.View()
	now := w.viewOf(f, &v, before)
	primary := f.account(v.primary)
	w.setHurry(v.primary == "" || v.doubt != "" || primary == nil)
	w.publish(before, now)
	if asked {
		closeOnce(w.settled)
	}
	if asked && v.primary != "" {
		closeOnce(w.found)
	}
}

// facts are the grounds of the next judgement.
func (w *Watcher) facts(all []candidate) *facts {
	f := &facts{same: w.places.Same, primary: w.primary, lineage: w.lineage, candidates: all}
	f.known = w.o.Known.among(f)
	w.learn(f)
	return f
}

// adopt makes a candidate the primary.
func (w *Watcher) adopt(f *facts, primary string) {
	if a := f.account(primary); w.primary == "" {
		w.lineage = f.known.begin(primary, a)
	} else {
		w.lineage = lineageOf(a)
	}
	w.primary = primary
}

// closeOnce closes a channel that only run closes.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// learn notes the ids of the primary's history: by its own account, and by those of the replicas that
// receive it, since a primary may be started again and gone before it is asked.
func (w *Watcher) learn(f *facts) {
	if w.lineage == nil {
		return
	}
	if a := f.account(w.primary); a != nil && a.master {
		w.lineage.learn(a)
	}
	for _, c := range f.candidates {
		if a := c.account; a != nil && !a.master && a.linked && f.isSame(a.follows, w.primary) {
			// Not an own one: the primary may follow another server by now, and this id is that one's.
			note(&w.lineage.File, a.replid)
		}
	}
}

// setHurry sets the pace of all questions.
func (w *Watcher) setHurry(on bool) {
	if w.hurry.Swap(on) != on && on {
		w.Look()
	}
}

// viewOf makes a verdict a View.
func (w *Watcher) viewOf(f *facts, v *verdict, before *View) *View {
	out := &View{Primary: v.primary, Next: v.next, Why: v.why, Doubt: v.doubt, Certain: v.certain,
		Against: v.against}
	if v.primary != "" && v.primary == before.Primary {
		out.Why = before.Why
	}
	primary := candidate{address: v.primary, account: f.account(v.primary)}
	for _, t := range w.all {
		c := Candidate{Address: t.address}
		if a := t.account; a != nil {
			c.Replicates = !a.master && v.primary != "" && f.follows(a, &primary)
			c.Heard, c.Master, c.Follows, c.Linked = true, a.master, a.follows, a.linked
			c.ReplID, c.ReplID2, c.Offset = a.replid, a.replid2, a.offset
		} else if t.err != nil {
			c.Err = t.err.Error()
		}
		out.Candidates = append(out.Candidates, c)
	}
	return out
}

// publish makes a View the present one, logs its news, and calls OnChange.
func (w *Watcher) publish(before, now *View) {
	w.view.Store(now)
	w.log(before, now)
	if w.o.OnChange != nil && !reflect.DeepEqual(before.substance(), now.substance()) {
		w.o.OnChange(now)
	}
}

// substance is the View without the fields that change all the time.
func (v *View) substance() View {
	out := *v
	out.Candidates = slices.Clone(v.Candidates)
	for i := range out.Candidates {
		out.Candidates[i].Offset, out.Candidates[i].Err = 0, "" // an error names another port each time
	}
	return out
}

// log logs the news of a View, for operators.
func (w *Watcher) log(before, now *View) {
	log := w.o.Logger
	if now.Primary != before.Primary {
		log.Info("a candidate is the primary", "primary", now.Primary, "before", before.Primary, "reason", now.Why)
	}
	if now.Primary == "" && now.Why != before.Why {
		log.Warn("no candidate is the primary", "reason", now.Why)
	}
	if now.Doubt != "" && now.Doubt != before.Doubt {
		log.Warn("the primary is in doubt", "primary", now.Primary, "reason", now.Doubt, "certain", now.Certain)
	}
	if now.Doubt == "" && before.Doubt != "" && now.Primary == before.Primary {
		log.Info("the primary is in doubt no more", "primary", now.Primary)
	}
	for _, text := range now.Against {
		if !slices.Contains(before.Against, text) {
			log.Warn("two primaries", "candidate", text, "primary", now.Primary)
		}
	}
}
