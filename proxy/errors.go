package proxy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Every text that the proxy itself says to a client stands in this file. Each begins with its
// error code, gives the reason, and says what to do next. All other errors are the server's own.

// ErrServerClosed is returned by calls on a Server that has ended.
var ErrServerClosed = errors.New("proxy: server closed")

const (
	// textMaxClients is Redis's own wording: clients know it and back off.
	textMaxClients = "ERR max number of clients reached"
	// textNoSuchClient is Redis's own wording for CLIENT KILL.
	textNoSuchClient = "ERR No such client"
	// textExecAbort is Redis's own wording for the EXEC of a transaction that went wrong.
	textExecAbort = "EXECABORT Transaction discarded because of previous errors."
	// textNoMulti answers the commands of a transaction whose MULTI was refused for the moment.
	textNoMulti = "BUSY MULTI was refused because the server was busy; this command was not " +
		"executed; send DISCARD and try again"
	// textNoScript answers an EVALSHA whose code the rules might refuse if it were known. It begins
	// as Redis's own words do, so that clients send the source.
	textNoScript = "NOSCRIPT No matching script. Please use EVAL: the proxy has not seen this code, " +
		"and cannot read it from the server"
	// textGuardMissing answers a script whose link could not log in as the guard's user.
	textGuardMissing = "UPSTREAM the user under which the proxy runs scripts was missing on the " +
		"server; the command was not executed; it is safe to send it again in a moment"
	// textGuardUser answers ACL SETUSER and DELUSER of a user that the proxy keeps on the server.
	textGuardUser = "DENIED '%s' is about a user that the proxy keeps for scripts; nothing was " +
		"executed; it changes with the rules of the proxy"
	// textWrongPass is the server's own wording for a user that does not exist.
	textWrongPass = "WRONGPASS invalid username-password pair or user is disabled."
	// textScanReply answers a KEYS whose SCAN the proxy did not understand.
	textScanReply = "UPSTREAM the server's answer to SCAN cannot be read; nothing was changed"
	// textHoldfast answers what is no command of the proxy's own.
	textHoldfast = "ERR unknown command of the proxy's own; there is HOLDFAST ACK"
	// textHoldfastMulti answers HOLDFAST ACK between MULTI and EXEC.
	textHoldfastMulti = "ERR HOLDFAST ACK is not part of a transaction; send it after EXEC"
	// textDraining answers commands that arrive after shutdown began.
	textDraining = "UPSTREAM this proxy is shutting down; the command was not executed; connect again"
)

// textDenied answers a command that a rule refuses.
func textDenied(command, rule string) string { return textDeniedFor(command, rule, "") }

// textDeniedFor is textDenied with a reason in brackets, such as what the code does.
func textDeniedFor(command, rule, why string) string {
	if why != "" {
		why = " (" + why + ")"
	}
	return fmt.Sprintf("DENIED '%s' is refused by rule '%s' of the proxy%s; "+
		"nothing was executed; if it must run, ask the operator to change that rule",
		strings.ReplaceAll(command, "|", " "), rule, why)
}

// textNotInMulti answers, between MULTI and EXEC, a command that the proxy would have to carry out in
// several steps.
func textNotInMulti(command, rule string) string {
	return fmt.Sprintf("DENIED '%s' cannot be part of a transaction under rule '%s' of the proxy; "+
		"send it outside of MULTI", strings.ReplaceAll(command, "|", " "), rule)
}

// textConfirm answers a command that a person has to approve; no token: too many wait already.
func textConfirm(command, rule, token string) string {
	how := fmt.Sprintf("have an operator run APPROVE %s on the console of the proxy, then send the "+
		"same command again within 5 minutes", token)
	if token == "" {
		how = "too many commands wait for that already; try again later"
	}
	return fmt.Sprintf("CONFIRM '%s' needs a person's approval by rule '%s' of the proxy; "+
		"nothing was executed; %s", strings.ReplaceAll(command, "|", " "), rule, how)
}

// textKeysTooMany answers a KEYS that finds more than one client may be sent.
func textKeysTooMany(limit uint64) string {
	return fmt.Sprintf("DENIED the keys that match take more than %d bytes, the limit of the proxy "+
		"for one client; use SCAN, or a narrower pattern", limit)
}

// textBudget answers a command that deletes while a budget is used up.
func textBudget(command, budget string, retry time.Duration) string {
	return fmt.Sprintf("THROTTLED '%s' is refused: the delete budget '%s' of the proxy is used up; "+
		"nothing was executed; try again in %d ms, or ask the operator to run RESET BUDGET",
		strings.ReplaceAll(command, "|", " "), budget, retry.Milliseconds()+1)
}

// textThrottled answers a command that is over a rule's limit.
func textThrottled(command, rule string, retry time.Duration) string {
	return "THROTTLED '" + strings.ReplaceAll(command, "|", " ") + "' is over the limit of rule '" +
		rule + "' of the proxy; nothing was executed; try again in " +
		strconv.FormatInt(retry.Milliseconds()+1, 10) + " ms"
}

// textScriptTrash answers code that may come to a reserved database.
func textScriptTrash(command, call string) string {
	return fmt.Sprintf("DENIED '%s' is refused: its code calls %s, perhaps with a database that is "+
		"reserved by the proxy; nothing was executed; write out the number of the database",
		strings.ReplaceAll(command, "|", " "), call)
}

// textOpaqueTrash answers code of which it is not known whether it comes to a reserved database.
func textOpaqueTrash(command, why string) string {
	return fmt.Sprintf("DENIED '%s' is refused: its code %s, and so come to the databases of the "+
		"trash; nothing was executed; write out the names of commands, or have the proxy keep its "+
		"guard on the server (upstream.guard)", command, why)
}

// textNoTrash answers a command that is to go to the trash where there can be none.
func textNoTrash(command, rule, why string) string {
	return fmt.Sprintf("DENIED '%s' goes to the trash by rule '%s' of the proxy, and there is none: "+
		"%s; nothing was executed; ask the operator", command, rule, why)
}

// textTrashFull answers a flush for which no reserved database is free.
func textTrashFull(command, rule string) string {
	return fmt.Sprintf("DENIED '%s' goes to the trash by rule '%s' of the proxy, and the trash is "+
		"full; nothing was executed; the operator makes room with PURGE", command, rule)
}

// textTrashFailed answers a command that the server would not let go to the trash.
func textTrashFailed(command, rule, why string) string {
	return fmt.Sprintf("DENIED '%s' goes to the trash by rule '%s' of the proxy, and the server "+
		"refused that to the proxy's own user: %s; nothing was executed; ask the operator",
		command, rule, why)
}

// textNoDryRun answers a command for which it cannot be found out whether the user may run it.
func textNoDryRun(command, rule, why string) string {
	return fmt.Sprintf("DENIED '%s' is carried out for you by rule '%s' of the proxy, whose own user "+
		"must be allowed ACL DRYRUN for that: %s; nothing was executed; ask the operator",
		command, rule, why)
}

// textNoDurable answers a command before it is executed, when what its route asks for cannot be had.
func textNoDurable(command, route, why string) string {
	return fmt.Sprintf("NODURABLE '%s' is on route '%s' of the proxy, whose proof cannot be had now: "+
		"%s; nothing was executed; try again later, or ask the operator",
		strings.ReplaceAll(command, "|", " "), route, why)
}

// textUnconfirmedTimeout answers a write that was not proven in time. proofs says what was.
func textUnconfirmedTimeout(after time.Duration, proofs string) string {
	return fmt.Sprintf("UNCONFIRMED executed, but not proven durable within %v: %s; check before "+
		"sending it again", after, proofs)
}

// textUnconfirmedPrimary answers a write whose primary is not the one any more that executed it.
func textUnconfirmedPrimary(proofs string) string {
	return "UNCONFIRMED executed, but the primary changed before it was proven durable: " + proofs +
		"; it may be lost; check before sending it again"
}

// textUnconfirmedLink answers a write whose link broke after the reply.
func textUnconfirmedLink(proofs string) string {
	return "UNCONFIRMED executed, but the link to the server broke before it was proven durable: " +
		proofs + "; check before sending it again"
}

// executed says what became of a command whose reply will never come.
type executed uint8

const (
	// notExecuted: the server cannot have seen the whole command.
	notExecuted executed = iota
	// maybeExecuted: the whole command was sent, and the reply is missing.
	maybeExecuted
)

// textUpstreamLost answers a command that was outstanding on a link which broke.
func textUpstreamLost(addr string, cause error, e executed) string {
	what := "the command was not executed; it is safe to send it again"
	if e == maybeExecuted {
		what = "the command may have been executed; check before sending it again"
	}
	return fmt.Sprintf("UPSTREAM the link to %s broke (%s); %s", addr, reason(cause), what)
}

// textUpstreamDown answers a command for which no link could be opened.
func textUpstreamDown(addr string, cause error, retry time.Duration) string {
	return fmt.Sprintf("UPSTREAM %s cannot be reached (%s); the command was not executed; "+
		"the next attempt is made in %d ms", addr, reason(cause), retry.Milliseconds())
}

// reason makes an error fit for one line of RESP.
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
