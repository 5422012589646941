package takeover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/journal/seldom"
)

// Times that the old process gives the new one.
const (
	// answerTime bounds each answer before "go".
	answerTime = 10 * time.Second
	// servingTime bounds the time from "released" to "serving": the new process opens the journal in it. It is
	// below the unit's WatchdogSec, since nothing gives signs of life meanwhile.
	servingTime = 20 * time.Second
)

// OfferOptions configure an Offer.
type OfferOptions struct {
	Name    string // of the socket, as Name returns it
	Sockets *Sockets
	Version string // of the program
	Log     *slog.Logger
	Record  *Record // has the outcomes; nil: none

	// Supervised: a service manager watches this process. Only a process of its own control group can take over
	// then.
	Supervised bool
	// Asked, if set, is called when another process takes over, and Taken when that one is about to accept.
	// They run on the Offer's goroutine.
	Asked, Taken func(pid int)
}

// An Offer is the readiness of a serving process to hand over. A nil Offer is never asked.
type Offer struct {
	opts  OfferOptions
	ln    *net.UnixListener // set by Open
	knows func() []byte     // set by Knows; nil: nothing
	asked chan struct{}     // closed by "go"
	begun chan time.Duration
	free  chan struct{} // closed by Released
	ended chan struct{} // closed when the goroutine has ended
	once  sync.Once     // of free

	// The facts of this process, and of the other one; a test has others.
	own      int           // its id
	patience time.Duration // servingTime
	peer     func(*net.UnixConn) (pid, uid int, err error)

	mu    sync.Mutex
	state state
	talk  *net.UnixConn // the conversation under way; nil: none
	left  bool          // hangUp was called
	taken bool          // the other process serves; read after ended

	foreign seldom.Log // attempts of other users' processes
}

// state is the progress of an Offer.
type state int

const (
	shut  state = iota // no process can ask
	ready              // another process can take over
	going              // one does
)

// NewOffer makes an Offer that Open opens.
func NewOffer(o OfferOptions) *Offer {
	return &Offer{
		opts: o, own: os.Getpid(), patience: servingTime, peer: peerOf, asked: make(chan struct{}),
		begun: make(chan time.Duration, 1), free: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Open begins to answer other processes. Call it at most once.
func (o *Offer) Open() error {
	ln, err := listen(o.opts.Name)
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ln, o.state = ln, ready
	go o.run()
	return nil
}

// Knows has upstream give the next process what it begins with, in a form of the caller's; nil: nothing. It runs on the
// Offer's goroutine. Call Knows before Open.
func (o *Offer) Knows(upstream func() []byte) {
	if o != nil {
		o.knows = upstream
	}
}

// Asked is closed when another process takes over.
func (o *Offer) Asked() <-chan struct{} {
	if o == nil {
		return nil
	}
	return o.asked
}

// Begin is called at the beginning of every drain, with its limit. It reports whether another process takes over; if
// not, none can any more.
func (o *Offer) Begin(limit time.Duration) bool {
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == going {
		o.begun <- limit
		return true
	}
	o.shut()
	return false
}

// Released tells the other process that the journal is closed. Only the first call counts.
func (o *Offer) Released() {
	if o != nil {
		o.once.Do(func() { close(o.free) })
	}
}

// Settle ends the Offer once the server has ended. If a takeover is under way it waits for its outcome, or for the end
// of ctx. It returns false if the other process has failed: its sockets wait in Sockets, to be served again.
func (o *Offer) Settle(ctx context.Context) bool {
	if o == nil {
		return true
	}
	o.Released()
	o.mu.Lock()
	state, ln := o.state, o.ln
	if state == ready {
		o.shut()
	}
	o.mu.Unlock()
	if ln == nil {
		return true
	}
	defer context.AfterFunc(ctx, o.hangUp)()
	<-o.ended
	return state != going || o.taken
}

// shut ends the readiness. With mu held.
func (o *Offer) shut() {
	o.state = shut
	if o.ln != nil {
		o.ln.Close()
	}
	if o.talk != nil {
		channel{o.talk}.refuse(ending)
		o.talk.Close()
	}
}

// hangUp breaks the conversation off.
func (o *Offer) hangUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = true
	if o.talk != nil {
		o.talk.Close()
	}
}

// run answers one process after the other until one takes over. It is the Offer's goroutine, joined by Settle.
func (o *Offer) run() {
	defer close(o.ended)
	defer o.ln.Close()
	for {
		conn, err := o.ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			o.opts.Log.Warn("takeover: cannot accept", "error", err)
			_ = ctxtime.Sleep(context.Background(), time.Second)
			continue
		}
		if o.answer(conn) {
			return
		}
	}
}

// answer is one conversation. True: the other process has taken over, or has failed after "go".
func (o *Offer) answer(conn *net.UnixConn) bool {
	defer conn.Close()
	o.mu.Lock()
	o.talk = conn
	closed := o.state == shut
	o.mu.Unlock()
	if closed {
		return true
	}
	c := channel{conn}
	pid, files, err := o.agree(c)
	switch {
	case errors.Is(err, errOnlyAsked):
		return false
	case err != nil:
		closeAll(files)
		o.refused(pid, err)
		return false
	}
	o.opts.Log.Info("another process takes over", "pid", pid, "sockets", len(files))
	if o.opts.Asked != nil {
		o.opts.Asked(pid)
	}
	if err := o.follow(c, pid); err != nil {
		o.takeBack(c, pid, files, err)
		return true
	}
	o.taken = true
	closeAll(files)
	o.opts.Log.Info("handed over", "pid", pid)
	o.opts.Record.note(Outcome{Side: Old, Outcome: Done, PID: pid})
	return true
}

// refused reports a conversation after which nothing has changed.
func (o *Offer) refused(pid int, err error) {
	if errors.Is(err, ErrForeign) {
		o.foreign.Tell(o.opts.Log, slog.LevelWarn, "takeover: another user's process is refused", err, "pid", pid)
		o.opts.Record.noteForeign()
		return
	}
	o.opts.Log.Warn("takeover: nothing was handed over", "pid", pid, "error", err)
	o.opts.Record.note(Outcome{Side: Old, Outcome: reasoned(err), PID: pid, Why: err.Error()})
}

// takeBack keeps the sockets after another process has failed to serve.
func (o *Offer) takeBack(c channel, pid int, files []handed, err error) {
	c.refuse("it took back what it had handed over: " + err.Error())
	o.opts.Sockets.adopt(files)
	o.mu.Lock()
	left := o.left
	o.mu.Unlock()
	if left {
		o.opts.Log.Warn("this process ends before the one that takes over serves", "pid", pid)
		o.opts.Record.note(Outcome{Side: Old, Outcome: Left, PID: pid})
		return
	}
	o.opts.Log.Error("the process that took over does not serve: this one serves again", "pid", pid, "error", err)
	o.opts.Record.note(Outcome{Side: Old, Outcome: Failed, PID: pid, Why: err.Error()})
}

// agree is the part up to "go". The returned duplicates are the caller's.
func (o *Offer) agree(c channel) (pid int, files []handed, err error) {
	pid, uid, err := o.peer(c.conn)
	if err != nil {
		return pid, nil, err
	}
	if uid != os.Getuid() {
		c.refuse(fmt.Sprintf("it runs as user %d, and you are user %d", os.Getuid(), uid))
		return pid, nil, fmt.Errorf("%w: %d", ErrForeign, uid)
	}
	until := time.Now().Add(answerTime)
	p, _, err := c.receive(until)
	if err != nil {
		return pid, nil, err
	}
	if p.Ask {
		return pid, nil, o.tell(c)
	}
	if p.Hello == nil {
		return pid, nil, unexpected(p)
	}
	if why := o.against(p.Hello, pid); why != "" {
		c.refuse(why)
		return pid, nil, &Refusal{why}
	}
	if files, err = o.opts.Sockets.hand(); err != nil {
		c.refuse(err.Error())
		return pid, nil, err
	}
	offer, fds := offered(files)
	if err := c.send(offer, fds...); err != nil {
		c.refuse(err.Error())
		return pid, files, err
	}
	if p, _, err = c.receive(until); err != nil {
		return pid, files, err
	}
	if !p.Go {
		return pid, files, unexpected(p)
	}
	return pid, files, o.commit()
}

// errOnlyAsked ends a conversation in which nothing is handed over.
var errOnlyAsked = errors.New("it only asked")

// tell answers the question about the upstream.
func (o *Offer) tell(c channel) error {
	var known []byte
	if o.knows != nil {
		known = o.knows()
	}
	if err := c.send(packet{Upstream: known}); err != nil {
		return err
	}
	return errOnlyAsked
}

// against is the reason against a takeover; "": there is none.
func (o *Offer) against(h *hello, pid int) string {
	switch {
	case h.Protocol != protocol:
		return fmt.Sprintf("it is version %s and speaks version %d of the handover, %s speaks %d: restart it instead",
			o.opts.Version, protocol, h.Version, h.Protocol)
	case o.own == 1:
		return "it is the first process of a container, which ends with it: replace the container"
	case o.opts.Supervised && !sameGroup(pid):
		return fmt.Sprintf("a service manager supervises it, and would not know the new process: send it SIGUSR2 "+
			"(systemctl kill -s USR2 --kill-whom=main UNIT, or kill -USR2 %d)", o.own)
	}
	return ""
}

// ending is the reason of a process that drains already.
const ending = "it has begun to end by itself"

// offered is the packet with the sockets.
func offered(files []handed) (packet, []int) {
	p := packet{Sockets: make([]string, len(files))}
	fds := make([]int, len(files))
	for i, h := range files {
		p.Sockets[i], fds[i] = h.address, h.file
		if h.kept {
			p.Kept = append(p.Kept, h.address)
		}
	}
	return p, fds
}

// commit is the point of no return.
func (o *Offer) commit() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != ready {
		return &Refusal{ending} // shut has said so
	}
	o.state = going
	o.opts.Sockets.leaveFiles()
	o.ln.Close() // the next one asks the new process
	close(o.asked)
	return nil
}

// follow is the part after "go".
func (o *Offer) follow(c channel, pid int) error {
	limit := <-o.begun
	if err := c.send(packet{Draining: limit.Milliseconds() + 1}); err != nil {
		return err
	}
	<-o.free
	if err := c.send(packet{Released: true}); err != nil {
		return err
	}
	p, _, err := c.receive(time.Now().Add(o.patience))
	if err != nil {
		return err
	}
	if !p.Serving {
		return unexpected(p)
	}
	if o.opts.Taken != nil {
		o.opts.Taken(pid)
	}
	// The other process serves, whether it hears this or not.
	_ = c.send(packet{Yours: true})
	return nil
}
