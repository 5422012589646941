package proxy

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// The slow log and its siblings have a fixed number of entries. If they log quick commands, too,
// each of the proxy's own pushes out the oldest entry, which may be a client's. The logKeeper reads
// the logs before such commands are sent, and keeps the clients' entries; SLOWLOG and COMMANDLOG
// show these with the entries still in the log.
//
// It is active only while a log records commands as small as the proxy's own, which is rare: the
// default threshold is 10 ms. On the control connection the read comes right before each command. A
// link's user may not read the logs, so a command on a link waits for a read by the control user, a
// round trip; a client's command that comes with own ones waits once, before all of them. Between
// the two, another client's entry may be logged and pushed out unread: a log of a few entries may
// then lack one. The commands of fences do not wait: a read would delay each durable write.
//
// The rejected design keeps the proxy's own commands out of the log: that works for EXEC alone.

// logKind is one of the server's command logs.
type logKind struct {
	name    string // COMMANDLOG's word for it
	over    string // its threshold parameter
	overOld string // its name before Valkey 8.1
	size    string // its length parameter
	sizeOld string
	quick   int64 // with a threshold below it, the proxy's own commands may be logged
}

// ownMicros, ownRequest and ownReply bound the time and sizes of the proxy's own commands after its
// start.
const (
	ownMicros  = 1000
	ownRequest = 512
	ownReply   = 64 << 10
	// keptMost is the longest log whose entries are kept: in a longer one the proxy's few entries
	// do not matter, while the cost of reading it before each of them would.
	keptMost = 256
)

var logKinds = []logKind{
	{name: "slow", over: "commandlog-execution-slower-than", overOld: "slowlog-log-slower-than",
		size: "commandlog-slow-execution-max-len", sizeOld: "slowlog-max-len", quick: ownMicros},
	{name: "large-request", over: "commandlog-request-larger-than",
		size: "commandlog-large-request-max-len", quick: ownRequest},
	{name: "large-reply", over: "commandlog-reply-larger-than",
		size: "commandlog-large-reply-max-len", quick: ownReply},
}

// logKeeper keeps the entries that the proxy's own commands push out. Its methods are safe from any
// goroutine; only save blocks.
type logKeeper struct {
	own    func(entry []byte) bool
	active atomic.Bool // a log may record the proxy's own commands

	reading  sync.Mutex    // held while the logs are read
	begun    atomic.Uint64 // reads
	finished uint64        // the newest that ended; under reading

	mu            sync.Mutex // held for moments
	logs          map[string]*keptLog
	calm          map[string]bool // by the last look, it records none of the proxy's own commands
	hasCommandLog bool            // the server is Valkey 8.1 or newer
}

// keptLog holds the kept entries of one log.
type keptLog struct {
	size    int        // of the log; 0: unknown
	entries []logEntry // of clients, newest first, at most size
}

type logEntry struct {
	id  int64
	raw []byte
}

func newLogKeeper(own func([]byte) bool) *logKeeper {
	return &logKeeper{own: own, logs: map[string]*keptLog{}, calm: map[string]bool{}}
}

// learn takes over the settings from the server's last check.
func (k *logKeeper) learn(info *upstream.Info) {
	if info.LogSlower >= 0 && info.LogSlower < ownMicros || info.LogRequests >= 0 && info.LogRequests < ownRequest ||
		info.LogReplies >= 0 && info.LogReplies < ownReply {
		k.suspect()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hasCommandLog = info.Server == "valkey" && info.VersionNum >= 8_01_00
}

// suspect has the settings checked before the proxy's next own command.
func (k *logKeeper) suspect() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.calm)
	k.active.Store(true)
}

// noteConfigSet reads a client's CONFIG SET, and reports whether it concerns the logs. Its sizes
// count from now on; if the server refuses them, the next look corrects them.
func (k *logKeeper) noteConfigSet(args [][]byte) (logs bool) {
	for i := 2; i+1 < len(args); i += 2 {
		name := strings.ToLower(string(args[i]))
		if !strings.HasPrefix(name, "slowlog-") && !strings.HasPrefix(name, "commandlog-") {
			continue
		}
		logs = true
		n, err := strconv.Atoi(string(args[i+1]))
		for _, kind := range logKinds {
			if err == nil && (name == kind.size || name == kind.sizeOld) {
				k.resize(kind.name, n)
			}
		}
	}
	if logs {
		k.suspect()
	}
	return logs
}

func (k *logKeeper) resize(log string, size int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log(log).size = size
}

// forget drops the kept entries of a log, after a client emptied it.
func (k *logKeeper) forget(log string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.logs, log)
}

// saveTimeout bounds how long a command of the proxy's own waits for the logs to be read.
const saveTimeout = time.Second

// save reads the logs of a server, if they record the proxy's own commands, and checks whether they
// still do. It returns once a read that began after the call has ended or failed.
func (k *logKeeper) save(ctx context.Context, up *upstream.Upstream) {
	if !k.active.Load() || !up.Info().Up {
		return
	}
	before := k.begun.Load()
	k.reading.Lock()
	defer k.reading.Unlock()
	if k.finished > before {
		return
	}
	n := k.begun.Add(1)
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	k.active.Store(k.look(ctx, up))
	k.finished = n
}

// Commands returns the reads of the logs that may record the next command; it implements
// upstream.Preceding.
func (k *logKeeper) Commands() (reads [][]any) {
	if !k.active.Load() {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, kind := range logKinds {
		switch {
		case k.calm[kind.name]:
		case k.hasCommandLog:
			reads = append(reads, []any{resp.Spell("commandlog"), "get", keptMost, kind.name})
		case kind.name == "slow":
			reads = append(reads, []any{resp.Spell("slowlog"), "get", keptMost})
		}
	}
	return reads
}

// Take keeps the logs' entries. Entries that the control user may not read are lost when pushed
// out.
func (k *logKeeper) Take(reads [][]any, replies []any) {
	for i, reply := range replies {
		log := "slow"
		if len(reads[i]) > 3 {
			log, _ = reads[i][3].(string)
		}
		if list, ok := reply.([]any); ok {
			k.keep(log, encodeAll(list))
		}
	}
}

// look asks for the parameters of all logs, and so, as with every command of the control
// connection, reads the logs. It reports whether any log has entries to keep. Without an answer
// none has.
func (k *logKeeper) look(ctx context.Context, up *upstream.Upstream) (active bool) {
	var names []any
	for _, kind := range logKinds {
		names = append(names, kind.over, kind.size)
		if kind.overOld != "" {
			names = append(names, kind.overOld, kind.sizeOld)
		}
	}
	config, err := up.ConfigGet(ctx, names...)
	if err != nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, kind := range logKinds {
		size, quick := kind.settings(config)
		if k.calm[kind.name] = !quick; quick {
			k.log(kind.name).size = size
		} else {
			delete(k.logs, kind.name)
		}
		active = active || quick
	}
	return active
}

// settings returns the size of a log, and whether the proxy's own commands can push out entries
// that matter.
func (kind logKind) settings(config map[string]string) (size int, quick bool) {
	number := func(name, old string) int64 {
		text, ok := config[name]
		if !ok {
			text = config[old]
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	over, most := number(kind.over, kind.overOld), number(kind.size, kind.sizeOld)
	return int(most), over >= 0 && over < kind.quick && most > 0 && most <= keptMost
}

// log returns the kept entries of a log. The caller holds mu.
func (k *logKeeper) log(name string) *keptLog {
	l := k.logs[name]
	if l == nil {
		l = &keptLog{}
		k.logs[name] = l
	}
	return l
}

// keep takes the present entries of a log, newest first.
func (k *logKeeper) keep(log string, entries [][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.log(log)
	merged := l.merge(entries, k.own)
	l.entries = l.entries[:0:0]
	for _, raw := range merged[:min(len(merged), keptMost)] {
		l.entries = append(l.entries, logEntry{entryID(raw), slices.Clone(raw)})
	}
}

// view returns the entries that clients see of a log with these entries, newest first.
func (k *logKeeper) view(log string, entries [][]byte) [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	merged := k.log(log).merge(entries, k.own)
	return merged[:min(len(merged), len(entries))]
}

// merge returns the clients' entries of a log and, if some may have been pushed out, the kept ones.
// A log that is not full has pushed out nothing: missing entries were deleted. The same holds for a
// log without entries of the proxy's own, and if ids start over, since the server has restarted.
func (l *keptLog) merge(entries [][]byte, own func([]byte) bool) [][]byte {
	clients := slices.DeleteFunc(slices.Clone(entries), own)
	if len(clients) == len(entries) || l.size == 0 || len(entries) < l.size ||
		len(l.entries) > 0 && l.entries[0].id > entryID(entries[0]) {
		return clients
	}
	there := map[int64]bool{}
	for _, raw := range clients {
		there[entryID(raw)] = true
	}
	for _, e := range l.entries {
		if !there[e.id] {
			clients = append(clients, e.raw)
		}
	}
	slices.SortStableFunc(clients, func(a, b []byte) int { return cmp.Compare(entryID(b), entryID(a)) })
	return clients
}

// entryID is the number of an entry; they count up. -1: it cannot be read.
func entryID(entry []byte) int64 {
	v, _, err := resp.Parse(entry)
	if err != nil || len(v.Elems) == 0 {
		return -1
	}
	return v.Elems[0].Int
}

// encodeAll encodes a reply's elements as RESP.
func encodeAll(list []any) [][]byte {
	out := make([][]byte, len(list))
	for i, v := range list {
		out[i] = appendValue(nil, v)
	}
	return out
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return resp.AppendInt(b, v)
	case []any:
		b = resp.AppendArray(b, len(v))
		for _, e := range v {
			b = appendValue(b, e)
		}
		return b
	case string:
		return resp.AppendBulkString(b, v)
	}
	return resp.AppendNull(b, 2)
}

// beforeOwn runs f, which sends one of the proxy's own commands, after a read of the logs if that
// is necessary: at once, or later on the loop.
func (w *worker) beforeOwn(f func()) {
	if !w.srv.logs.active.Load() {
		f()
		return
	}
	w.dials.Add(1)
	go w.saveLogs(w.ctx, w.up, f)
}

// saveLogs runs on its own goroutine and continues on the loop.
func (w *worker) saveLogs(ctx context.Context, up *upstream.Upstream, then func()) {
	defer w.dials.Done()
	w.srv.logs.save(ctx, up)
	w.loop.Post(then)
}

// withOwn marks the behaviours whose commands come with some of the proxy's own.
var withOwn = [behaviourCount]bool{waitAcks: true, stateful: true, named: true, auth: true, hello: true,
	subscribe: true, monitor: true, rawStream: true, scriptDebug: true, clientList: true,
	clientKill: true, clientUnblock: true, clientTracking: true, clientReply: true}

// logsSaved makes a frame that comes with own commands wait for a read of the logs.
func (f *frame) logsSaved() next {
	s := f.s
	if s.again.saved || !s.w.srv.logs.active.Load() {
		return goOn
	}
	s.calling = true
	s.w.beforeOwn(func() {
		s.calling = false
		s.again.saved = true
		s.w.wakeUp(s)
	})
	return waitCall
}
