package telemetry

// Class is a command's kind of work, for latency histograms. There are few enough classes that each
// has its own buckets, and enough of them that one does not distort another (a BLPOP that waits for
// a minute says nothing about GET).
type Class uint8

// The classes. A command belongs to exactly one, the first that fits in this order: blocking,
// pubsub, transaction, connection, admin, write, read, other.
const (
	ClassOther       Class = iota // unknown commands and those of no other class
	ClassRead                     // reads keys or scripts that are read-only
	ClassWrite                    // may write keys
	ClassBlocking                 // may wait on purpose: BLPOP, XREAD BLOCK, WAIT
	ClassTransaction              // MULTI, EXEC, DISCARD, WATCH, UNWATCH
	ClassPubSub                   // SUBSCRIBE, PUBLISH and the like
	ClassConnection               // AUTH, HELLO, SELECT, CLIENT, PING, RESET, QUIT
	ClassAdmin                    // CONFIG, INFO, DEBUG and the like

	NumClasses = int(iota)
)

var classNames = [NumClasses]string{
	"other", "read", "write", "blocking", "transaction", "pubsub", "connection", "admin",
}

// String is the value of the metric attribute "class".
func (c Class) String() string { return nameOf(classNames[:], int(c)) }

// Outcome is the end of one command. Every finished command has exactly one outcome, so the sum
// over all outcomes is the number of commands.
type Outcome uint8

// The outcomes.
const (
	OutcomeOK       Outcome = iota // the upstream answered without an error
	OutcomeError                   // the upstream answered with an error
	OutcomeDenied                  // a rule refused it; the upstream never saw it
	OutcomeUpstream                // answered -UPSTREAM: unreachable, or the link broke
	OutcomeLocal                   // answered by the proxy itself, without the upstream

	NumOutcomes = int(iota)
)

var outcomeNames = [NumOutcomes]string{"ok", "error", "denied", "upstream", "local"}

// String is the value of the metric attribute "outcome".
func (o Outcome) String() string { return nameOf(outcomeNames[:], int(o)) }

// CloseReason is the reason for the end of a session.
type CloseReason uint8

// The reasons.
const (
	CloseClient      CloseReason = iota // the client closed its side, or sent QUIT
	CloseNetwork                        // the connection broke: reset, timed out
	CloseProtocol                       // a protocol error
	CloseOutputLimit                    // a client too slow in reading its replies
	CloseInputLimit                     // a frame or pipeline over the input limit
	CloseMemory                         // closed to keep all buffers within their limit
	CloseIdle                           // idle for longer than the limit
	CloseKilled                         // CLIENT KILL, or KILL SESSION on the console
	CloseUpstream                       // the pinned link that held its state broke
	CloseMaxClients                     // refused at once: too many clients
	CloseDrain                          // the proxy is shutting down
	CloseUnconfirmed                    // a route closes on a missing proof
	CloseCertificate                    // its certificate stands for no user, or the server refuses that user

	NumCloseReasons = int(iota)
)

var closeReasonNames = [NumCloseReasons]string{
	"client", "network", "protocol", "output_limit", "input_limit", "memory", "idle", "killed",
	"upstream", "max_clients", "drain",
	"unconfirmed", "certificate",
}

// String is the value of the metric attribute "reason".
func (r CloseReason) String() string { return nameOf(closeReasonNames[:], int(r)) }

// LinkKind distinguishes shared from pinned links.
type LinkKind uint8

// The kinds.
const (
	LinkShared LinkKind = iota // multiplexed among sessions
	LinkPinned                 // lent to one session at a time

	NumLinkKinds = int(iota)
)

var linkKindNames = [NumLinkKinds]string{"shared", "pinned"}

// String is the value of the metric attribute "kind".
func (k LinkKind) String() string { return nameOf(linkKindNames[:], int(k)) }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "other"
}
