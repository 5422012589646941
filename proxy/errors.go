package proxy

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Every error text of the proxy itself is in this file. Each begins with its error code, gives the
// reason, and names the next step; resp.OwnError adds the page about the code. All other errors are
// the server's own.

// ErrServerClosed is returned by calls on a Server that has ended.
var ErrServerClosed = errors.New("proxy: server closed")

const (
	// textMaxClients is Redis's own wording: clients know it and back off.
	textMaxClients = "ERR max number of clients reached"
	// textNoSuchClient is Redis's own wording for CLIENT KILL.
	textNoSuchClient = "ERR No such client"
	// textSyntax is the server's own wording for unknown arguments.
	textSyntax = "ERR syntax error"
	// textExecAbort is Redis's own wording for the EXEC of a failed transaction.
	textExecAbort = "EXECABORT Transaction discarded because of previous errors."
	// textReplyInMulti is Valkey 9's own wording.
	textReplyInMulti = "ERR Command 'client|reply' not allowed inside a transaction"
	// textNoMulti and textNoMultiRuled answer the commands of a transaction whose MULTI was refused,
	// by a passing error or by a rule.
	textNoMulti = "BUSY MULTI was refused because the server was busy; this command was not " +
		"executed; send DISCARD and try again"
	textNoMultiRuled = "DENIED MULTI was refused, and this command was not executed outside of its " +
		"transaction; send DISCARD, and see the reply to MULTI for the reason"
	// textNoScript answers an EVALSHA of unknown code that the rules might refuse. It begins like
	// Redis's own error, so that clients send the source.
	textNoScript = "NOSCRIPT No matching script. Please use EVAL: the proxy has not seen this code, " +
		"and cannot read it from the server"
	// textGuardMissing answers a script whose link could not log in as the guard's user.
	textGuardMissing = "UPSTREAM the user under which the proxy runs scripts was missing on the " +
		"server; the command was not executed; it is safe to send it again in a moment"
	// textGuardUser answers ACL SETUSER and DELUSER of a user that the proxy keeps on the server.
	textGuardUser = "DENIED '%s' is about a user that the proxy keeps for scripts; nothing was " +
		"executed; it changes with the rules of the proxy"
	// textNoDebug answers SCRIPT DEBUG if the debugger would bypass the rules.
	textNoDebug = "DENIED 'script debug' is refused: what is typed into the debugger passes no rule " +
		"of the proxy; nothing was executed; use SCRIPT DEBUG YES, whose writes are rolled back, in " +
		"RESP2 with replies on and without subscriptions, where there is no trash and no rule " +
		"against reads, or debug on a server of your own"
	// textHelloFirst is the server's own wording.
	textHelloFirst = "NOAUTH HELLO must be called with the client already authenticated, otherwise " +
		"the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and " +
		"select the RESP protocol version at the same time"
	// textWrongPass is the server's own wording for a user that does not exist.
	textWrongPass = "WRONGPASS invalid username-password pair or user is disabled."
	// textScanReply answers a KEYS whose SCAN had an unreadable reply.
	textScanReply = "UPSTREAM the server's answer to SCAN cannot be read; nothing was changed"
	// textHoldfast answers an unknown subcommand of HOLDFAST.
	textHoldfast = "ERR unknown command of the proxy's own; there is HOLDFAST ACK"
	// textHoldfastMulti answers HOLDFAST ACK between MULTI and EXEC.
	textHoldfastMulti = "ERR HOLDFAST ACK is not part of a transaction; send it after EXEC"
	// textCertificateNoUser ends a session whose certificate names no user of the configuration.
	textCertificateNoUser = "DENIED this client's certificate stands for none of the users that the " +
		"proxy knows; nothing was executed; ask the operator to add its name to users, or use another " +
		"certificate"
	// textCertificateLogin ends a session whose user the server does not accept.
	textCertificateLogin = "DENIED the server refuses the login of the user for whom this client's " +
		"certificate stands; nothing was executed; ask the operator: the user is missing or off on the " +
		"server, or the proxy has another password or certificate for it"
	// textCertificateCut answers a command whose link shows a user's certificate and is cut.
	textCertificateCut = "UPSTREAM the server ends the connections on which the proxy shows the certificate " +
		"of this client's user; the command was not executed; it is safe to send it again; ask the operator " +
		"for users[].cert"
	// textDoubted answers a command that may write while another server takes the primary's place.
	textDoubted = "UPSTREAM the primary is being replaced, and upstream.hold of the proxy is " +
		"over; the command was not executed; it is safe to send it again"
	// textDraining answers commands that arrive after shutdown began.
	textDraining = "UPSTREAM this proxy is shutting down; the command was not executed; connect again"
)

// spoken is a command's name as people write it: "client kill" for "client|kill".
func spoken(command string) string { return strings.ReplaceAll(command, "|", " ") }

// textDenied answers a command that a rule refuses.
func textDenied(command, rule string) string { return textDeniedFor(command, rule, "") }

// textDeniedFor is textDenied with a reason in brackets, such as the code's effect.
func textDeniedFor(command, rule, why string) string {
	if why != "" {
		why = " (" + why + ")"
	}
	return fmt.Sprintf("DENIED '%s' is refused by rule '%s' of the proxy%s; "+
		"nothing was executed; if it must run, ask the operator to change that rule",
		spoken(command), rule, why)
}

// textNotInMulti answers, between MULTI and EXEC, a command that the proxy would have to carry out in
// several steps.
func textNotInMulti(command, rule string) string {
	return fmt.Sprintf("DENIED '%s' cannot be part of a transaction under rule '%s' of the proxy; "+
		"send it outside of MULTI", spoken(command), rule)
}

// textConfirm answers a command that needs approval; no token: too many wait already.
func textConfirm(command, rule, token string) string {
	how := fmt.Sprintf("have an operator run APPROVE %s on the console of the proxy, then send the "+
		"same command again within 5 minutes", token)
	if token == "" {
		how = "too many commands wait for that already; try again later"
	}
	return fmt.Sprintf("CONFIRM '%s' needs a person's approval by rule '%s' of the proxy; "+
		"nothing was executed; %s", spoken(command), rule, how)
}

// textKeysTooMany answers a KEYS whose reply would exceed the limit of one client.
func textKeysTooMany(limit uint64) string {
	return fmt.Sprintf("DENIED the keys that match take more than %d bytes, the limit of the proxy "+
		"for one client; use SCAN, or a narrower pattern", limit)
}

// textBudget answers a command that deletes while a budget is used up.
func textBudget(command, budget string, retry time.Duration) string {
	return fmt.Sprintf("THROTTLED '%s' is refused: the delete budget '%s' of the proxy is used up; "+
		"nothing was executed; try again in %d ms, or ask the operator to run RESET BUDGET",
		spoken(command), budget, retry.Milliseconds()+1)
}

// textNoPin answers a command for which no pinned link became free in time.
func textNoPin(command string, limit int) string {
	if command == "" {
		command = "this command"
	} else {
		command = "'" + spoken(command) + "'"
	}
	return fmt.Sprintf("THROTTLED %s takes a connection to the server of its own, and all %d that "+
		"limits.pinned_links of the proxy allows are in use, a tenth of them kept for transactions; "+
		"nothing was executed; try again later, or ask the operator", command, limit)
}

// textOverBudget answers a command that could delete more keys than a budget has left.
func textOverBudget(command, budget string, keys, left int64) string {
	return fmt.Sprintf("THROTTLED '%s' is refused: with it up to %d keys would be deleted, and the "+
		"delete budget '%s' of the proxy has %d left; nothing was executed; delete fewer at once, "+
		"try again later, or ask the operator to run RESET BUDGET",
		spoken(command), keys, budget, left)
}

// textThrottled answers a command that is over a rule's limit.
func textThrottled(command, rule string, retry time.Duration) string {
	return "THROTTLED '" + spoken(command) + "' is over the limit of rule '" +
		rule + "' of the proxy; nothing was executed; try again in " +
		strconv.FormatInt(retry.Milliseconds()+1, 10) + " ms"
}

// textScriptTrash answers code that may reach a reserved database.
func textScriptTrash(command, call string) string {
	return fmt.Sprintf("DENIED '%s' is refused: its code calls %s, perhaps with a database that is "+
		"reserved by the proxy; nothing was executed; write out the number of the database",
		spoken(command), call)
}

// textMigrateTrash answers a MIGRATE to a database that is reserved, perhaps on another server.
func textMigrateTrash(db string) string {
	return fmt.Sprintf("DENIED 'migrate' names database %s, which the proxy reserves on its own "+
		"server, and it cannot tell servers apart; nothing was executed; choose another database, "+
		"or have the operator run it on the server itself", db)
}

// textBesideOpaque answers a command in a transaction with opaque code, which runs as the guard's user.
func textBesideOpaque(command string) string {
	return fmt.Sprintf("DENIED '%s' cannot be in one transaction with opaque code, which the proxy "+
		"runs as a restricted user; nothing was executed; send one of the two outside of MULTI",
		spoken(command))
}

// whyBeside completes "its code is opaque, and …".
func whyBeside(command string) string {
	return fmt.Sprintf("the transaction has '%s', which the guard's user may not run",
		spoken(command))
}

// textOpaqueTrash answers opaque code that might reach a reserved database.
func textOpaqueTrash(command, why string) string {
	return fmt.Sprintf("DENIED '%s' is refused: its code is %s; it could come to the databases of the "+
		"trash; nothing was executed; write out the names of commands, or have the proxy keep its "+
		"guard on the server (upstream.guard)", command, why)
}

// textNoDryRun answers a command when the check of the user's permission failed.
func textNoDryRun(command, rule, why string) string {
	return fmt.Sprintf("DENIED '%s' is carried out for you by rule '%s' of the proxy, whose own user "+
		"must be allowed ACL DRYRUN for that: %s; nothing was executed; ask the operator",
		command, rule, why)
}

// textNoDurable answers a command before its execution, when its route's proof is unavailable.
func textNoDurable(command, route, why string) string {
	return fmt.Sprintf("NODURABLE '%s' is on route '%s' of the proxy, whose proof cannot be had now: "+
		"%s; nothing was executed; try again later, or ask the operator",
		spoken(command), route, why)
}

// executed is the fate of a command whose reply will never come.
type executed uint8

const (
	// notExecuted: the server cannot have seen the whole command.
	notExecuted executed = iota
	// maybeExecuted: the whole command was sent, and the reply is missing.
	maybeExecuted
)

// textUpstreamLost answers a command that was outstanding on a broken link.
//
// It contains no address and no time: varying texts cannot be grouped or compared. The log and the
// console have both.
func textUpstreamLost(cause error, e executed) string {
	what := "the command was not executed; it is safe to send it again"
	if e == maybeExecuted {
		what = "the command may have been executed; check before sending it again"
	}
	return fmt.Sprintf("UPSTREAM the link to the server broke (%s); %s", briefly(cause), what)
}

// textNoLink answers a command that got no connection to the server.
func textNoLink(limit string) string {
	return fmt.Sprintf("UPSTREAM the connections to the server that limits.%s of the proxy allows are "+
		"all in use; the command was not executed; try again, or ask the operator to raise it", limit)
}

// textUpstreamDown answers a command for which no link could be opened.
func textUpstreamDown(cause error) string {
	return fmt.Sprintf("UPSTREAM the server cannot be reached (%s); the command was not executed; "+
		"it is safe to send it again", briefly(cause))
}

// briefly returns a reason without its varying parts, such as ports and resolved names.
func briefly(err error) string {
	var number syscall.Errno
	var dns *net.DNSError
	var network net.Error
	switch {
	case err == nil:
		return "closed by the server"
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, &dns):
		return "its name cannot be looked up"
	case errors.As(err, &network) && network.Timeout():
		return "timed out"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return reason(err)
}

// reason fits an error into one line of RESP.
func reason(err error) string {
	if err == nil {
		return "closed by the server"
	}
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, err.Error())
}
