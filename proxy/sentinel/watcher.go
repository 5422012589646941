package sentinel

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"holdfast/journal/place"
	"holdfast/proxy/upstream"
)

// Watcher follows the sentinels. Start begins, Stop ends it; it is used once.
type Watcher struct {
	o      Options
	view   atomic.Pointer[View] // never nil
	found  chan struct{}        // closed when a primary is known
	places place.Book

	stop    context.CancelFunc // nil before Start
	done    chan struct{}      // closed when run has ended
	talks   sync.WaitGroup     // goroutines of sentinels and of questions about roles
	reports chan report
	roles   chan roleAnswer
	looks   chan struct{} // one token: ask for roles now
	hurry   atomic.Bool   // the primary is in doubt

	// Owned by run.
	members []*tracked
	primary string
	paired  bool // sentinels listed replicas of primary last
	last    history
	handed  time.Time                    // when primary was handed over; zero: it was not, or a majority names it
	ask     []string                     // whose standing is asked
	known   map[string]upstream.Standing // by address
	asking  map[string]bool              // addresses whose role is being asked
	tick    *time.Timer
}

// tracked is a sentinel that is connected to. Only run uses it, but for pace.
type tracked struct {
	member
	heard   bool
	last    answer
	err     error
	silent  time.Time // since when it is not heard
	changed time.Time // when it named another primary than before
	told    bool      // that it does not answer
	pace    *pace
	stop    context.CancelFunc
}

// lingers reports whether a sentinel that is not heard may go on with its failover.
func (t *tracked) lingers() bool {
	return !t.heard && !errors.Is(t.err, syscall.ECONNREFUSED) && time.Since(t.silent) < lingerFor
}

// pace says when a sentinel is asked.
type pace struct {
	hurry   *atomic.Bool
	hurried chan struct{} // one token: ask now
}

func (p *pace) interval(o *Options) time.Duration {
	if p.hurry.Load() {
		return o.Hurry
	}
	return o.Interval
}

// report is an answer of a sentinel, or the reason why it does not answer.
type report struct {
	from   *tracked
	answer answer
	err    error
}

// roleAnswer is a server's standing; without a role it was not learnt.
type roleAnswer struct {
	address  string
	standing upstream.Standing
}

// handoverFor is how long the sentinels may show signs of the failover by which the primary was handed over.
const handoverFor = 10 * time.Second

// lingerFor is how long a silent sentinel may show signs of a failover, and one that names another primary is a sign
// by itself. Sentinels tell each other of a new primary every two seconds.
const lingerFor = 10 * time.Second

// New returns a Watcher that has not begun.
func New(o Options) *Watcher {
	w := &Watcher{
		o: o.withDefaults(), found: make(chan struct{}), done: make(chan struct{}),
		reports: make(chan report), roles: make(chan roleAnswer), looks: make(chan struct{}, 1),
		known: map[string]upstream.Standing{}, asking: map[string]bool{},
	}
	v := &View{Name: o.Name, Of: len(o.Addresses)}
	for _, a := range o.Addresses {
		v.Sentinels = append(v.Sentinels, Sentinel{Address: a, Configured: true, Counts: true})
	}
	w.view.Store(v)
	return w
}

// View returns the present view. It takes no lock.
func (w *Watcher) View() *View { return w.view.Load() }

// Same reports whether two addresses are of one server.
func (w *Watcher) Same(a, b string) bool { return w.places.Same(a, b) }

// Start follows the sentinels until ctx ends or Stop is called.
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
		return "", fmt.Errorf("no primary is known: %s", w.View().why())
	}
}

// Settle waits until every sentinel that counts has answered or failed to, at most until ctx ends,
// and returns the View.
func (w *Watcher) Settle(ctx context.Context) *View {
	tick := time.NewTicker(w.o.Hurry)
	defer tick.Stop()
	for {
		v := w.View()
		waits := slices.ContainsFunc(v.Sentinels, func(s Sentinel) bool {
			return !s.Heard && s.Err == ""
		})
		if !waits {
			return v
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return v
		}
	}
}

// Look has the primary asked for its role now: it may have changed.
func (w *Watcher) Look() {
	select {
	case w.looks <- struct{}{}:
	default:
	}
}

// run is the Watcher's goroutine.
func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	defer w.talks.Wait()
	w.tick = time.NewTimer(w.o.Interval)
	defer w.tick.Stop()
	for _, a := range w.o.Addresses {
		w.meet(ctx, a, true)
	}
	for {
		select {
		case r := <-w.reports:
			w.take(&r)
		case r := <-w.roles:
			delete(w.asking, r.address)
			w.learn(&r)
		case <-w.looks:
			w.askRoles(ctx)
			continue
		case <-w.tick.C:
			w.askRoles(ctx)
			w.tick.Reset((&pace{hurry: &w.hurry}).interval(&w.o))
			continue
		case <-ctx.Done():
			return
		}
		w.judge(ctx)
	}
}

// meet begins a conversation with a sentinel.
func (w *Watcher) meet(ctx context.Context, address string, configured bool) {
	ctx, stop := context.WithCancel(ctx)
	t := &tracked{
		member: member{address: address, configured: configured}, stop: stop,
		pace: &pace{hurry: &w.hurry, hurried: make(chan struct{}, 1)},
	}
	w.members = append(w.members, t)
	w.talks.Go(func() { w.attend(ctx, t, address) })
}

// attend is a sentinel's goroutine.
func (w *Watcher) attend(ctx context.Context, t *tracked, address string) {
	backoff := upstream.Backoff{Max: w.o.MaxBackoff}
	say := func(r report) {
		select {
		case w.reports <- r:
		case <-ctx.Done():
		}
	}
	for ctx.Err() == nil {
		err := w.o.converse(ctx, address, t.pace, func(a answer) {
			backoff.Reset()
			w.learnPlaces(ctx, a.addresses()...)
			say(report{from: t, answer: a})
		})
		say(report{from: t, err: err})
		select {
		case <-time.After(backoff.Next()):
		case <-ctx.Done():
		}
	}
}

// learnPlaces looks up names in addresses. One that is not known is compared as a text.
func (w *Watcher) learnPlaces(ctx context.Context, addresses ...string) {
	if err := w.places.Learn(ctx, addresses...); err != nil && ctx.Err() == nil {
		w.o.Logger.Debug("the address of a server is not known", "error", err)
	}
}

// take takes a report.
func (w *Watcher) take(r *report) {
	t := r.from
	if !slices.Contains(w.members, t) {
		return // it has left
	}
	if t.heard && r.err != nil {
		t.silent = time.Now()
	}
	if t.heard = r.err == nil; !t.heard {
		t.err = r.err
		if !t.told {
			t.told = true
			w.o.Logger.Warn("a sentinel does not answer", "sentinel", t.address, "error", r.err)
		}
		return
	}
	if t.told || t.id == "" {
		w.o.Logger.Info("a sentinel answers", "sentinel", t.address, "id", r.answer.id,
			"names", r.answer.names)
	}
	t.told, t.err = false, nil
	if before := t.last.names; before != "" && !w.places.Same(before, r.answer.names) {
		t.changed = time.Now()
	}
	t.id, t.peers, t.last = r.answer.id, r.answer.peers, r.answer
}

// learn takes a standing. A server that has said that it is a replica stays one in its silence.
func (w *Watcher) learn(r *roleAnswer) {
	silent := r.standing.Role == ""
	if role := w.known[r.address].Role; silent && role != "" && role != roleMaster {
		return
	}
	w.known[r.address] = r.standing
}

// askRoles asks the primary and the servers that may become it for their standings.
func (w *Watcher) askRoles(ctx context.Context) {
	for _, address := range w.ask {
		w.askRole(ctx, address)
	}
}

// askRole asks a server for its role, on a goroutine of its own.
func (w *Watcher) askRole(ctx context.Context, address string) {
	if address == "" || w.asking[address] {
		return
	}
	w.asking[address] = true
	w.talks.Go(func() {
		asking, cancel := context.WithTimeout(ctx, w.o.Timeout)
		defer cancel()
		standing, err := w.o.Standing(asking, address)
		if err != nil {
			w.o.Logger.Debug("a server does not say its role", "server", address, "error", err)
		}
		w.learnPlaces(ctx, standing.Follows)
		select {
		case w.roles <- roleAnswer{address, standing}:
		case <-ctx.Done():
		}
	})
}

// judge decides by the present facts.
func (w *Watcher) judge(ctx context.Context) {
	counts := w.assemble(ctx)
	f := facts{same: w.places.Same, primary: w.primary, roles: w.known, last: w.last,
		late: !w.handed.IsZero() && time.Since(w.handed) > handoverFor}
	for _, t := range w.members {
		if slices.Contains(counts, t.address) {
			f.voters = append(f.voters, voter{
				address: t.address, heard: t.heard, lingers: t.lingers(), names: t.last.names,
				changed: time.Since(t.changed) < lingerFor, epoch: t.last.epoch, sign: t.last.sign, lists: t.last.listed(),
			})
		}
	}
	v := judge(f)
	w.follow(ctx, &v)
	before := w.View()
	now := w.viewOf(&v, counts)
	w.setHurry(v.candidate != "" || v.doubt != "" || v.from != "")
	w.publish(before, now)
}

// follow takes over the consequences of a verdict for the next one.
func (w *Watcher) follow(ctx context.Context, v *verdict) {
	for _, address := range v.ask {
		if !slices.Contains(w.ask, address) {
			w.askRole(ctx, address)
		}
	}
	w.ask = v.ask
	for address := range w.known {
		if !slices.Contains(v.ask, address) {
			delete(w.known, address)
		}
	}
	switch {
	case v.from == "":
		w.handed = time.Time{}
	case w.handed.IsZero():
		w.handed = time.Now()
	}
	w.primary = v.primary
	if s := w.known[v.primary]; v.from == "" && v.candidate == "" && s.Role == roleMaster {
		w.last = history{v.primary, s.ReplID}
	}
}

// assemble begins and ends conversations, and returns the addresses of the sentinels that count.
func (w *Watcher) assemble(ctx context.Context) []string {
	members := make([]member, len(w.members))
	for i, t := range w.members {
		members[i] = t.member
	}
	counts, join, leave := electorate(members)
	for _, p := range join {
		w.o.Logger.Info("the sentinels list another one", "sentinel", p.address, "id", p.id)
		w.meet(ctx, p.address, false)
	}
	w.members = slices.DeleteFunc(w.members, func(t *tracked) bool {
		gone := slices.Contains(leave, t.address)
		if gone {
			w.o.Logger.Info("the sentinels do not list a sentinel any more, or it is one of the others",
				"sentinel", t.address, "id", t.id)
			t.stop()
		}
		return gone
	})
	return counts
}

// setHurry sets the pace of all questions.
func (w *Watcher) setHurry(on bool) {
	if w.hurry.Swap(on) == on || !on {
		return
	}
	w.tick.Reset(w.o.Hurry)
	for _, t := range w.members {
		select {
		case t.pace.hurried <- struct{}{}:
		default:
		}
	}
}

// viewOf makes a verdict a View.
func (w *Watcher) viewOf(v *verdict, counts []string) *View {
	out := &View{
		Name: w.o.Name, Primary: v.primary, Candidate: v.candidate, Doubt: v.doubt, Certain: v.certain,
		From: v.from, Handed: w.handed, Votes: v.votes, Of: v.of, Outvoted: v.outvoted,
	}
	down := 0
	for _, t := range w.members {
		s := Sentinel{
			Address: t.address, ID: t.id, Configured: t.configured, Heard: t.heard,
			Counts: slices.Contains(counts, t.address),
		}
		if t.heard {
			s.Names, s.Sign, s.Epoch = t.last.names, t.last.sign.what, t.last.epoch
			out.Quorum = max(out.Quorum, t.last.quorum)
			out.DownAfter = max(out.DownAfter, t.last.downAfter)
			if out.Replicas == nil {
				out.Replicas = w.replicasBy(&t.last, v)
			}
			if s.Counts && t.last.down && w.places.Same(t.last.names, v.primary) {
				down++
			}
		} else if t.err != nil {
			s.Err = t.err.Error()
		}
		out.Sentinels = append(out.Sentinels, s)
	}
	out.Down, out.Deaf = 2*down > v.of, w.deaf(out)
	return out
}

// deaf is the View's Deaf.
func (w *Watcher) deaf(v *View) string {
	for _, t := range w.members {
		if t.heard && w.places.Same(t.last.names, v.Primary) {
			w.paired = len(t.last.replicas) > 0
		}
	}
	if w.paired && !v.hasMajority() {
		return v.answering()
	}
	return ""
}

// replicasBy are the primary's replicas by an answer. A sentinel that still names the server which has handed over lists
// that one's: the primary is one of them, and that server is not.
func (w *Watcher) replicasBy(a *answer, v *verdict) []Replica {
	switch {
	case w.places.Same(a.names, v.primary):
		return a.replicas
	case v.from != "" && w.places.Same(a.names, v.from):
		isPrimary := func(r Replica) bool { return w.places.Same(r.Address, v.primary) }
		return append(slices.DeleteFunc(slices.Clone(a.replicas), isPrimary), Replica{Address: v.from})
	}
	return nil
}

// publish makes a View the present one, logs its news, and calls OnChange.
func (w *Watcher) publish(before, now *View) {
	if reflect.DeepEqual(before, now) {
		return
	}
	w.view.Store(now)
	w.log(before, now)
	if now.Primary != "" && before.Primary == "" {
		close(w.found)
	}
	changed := now.Primary != before.Primary || now.From != before.From || now.Candidate != before.Candidate ||
		now.Doubt != before.Doubt || now.Certain != before.Certain || now.Down != before.Down || now.Deaf != before.Deaf
	if changed && w.o.OnChange != nil {
		w.o.OnChange(now)
	}
}

// log logs the news of a View, for operators.
func (w *Watcher) log(before, now *View) {
	log := w.o.Logger.With("name", now.Name)
	switch {
	case now.Primary != before.Primary && now.From != "":
		log.Info("the primary says that it is a replica of its own replica, which is a primary now", "primary", now.Primary,
			"before", now.From)
	case now.Primary != before.Primary:
		log.Info("the sentinels and the server agree on the primary", "primary", now.Primary,
			"before", before.Primary, "votes", now.Votes, "sentinels", now.Of)
	}
	if now.Doubt != "" && now.Doubt != before.Doubt {
		log.Warn("the primary is in doubt", "primary", now.Primary, "reason", now.Doubt,
			"certain", now.Certain)
	}
	if now.Doubt == "" && before.Doubt != "" && now.Primary == before.Primary {
		log.Info("the primary is in doubt no more", "primary", now.Primary)
	}
	for _, text := range now.Outvoted {
		if !slices.Contains(before.Outvoted, text) {
			log.Warn("a sentinel is outvoted", "sentinel", text, "primary", now.Primary,
				"votes", now.Votes, "sentinels", now.Of)
		}
	}
}
