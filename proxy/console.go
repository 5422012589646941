package proxy

import (
	"context"

	"holdfast/proxy/admin"
	"holdfast/proxy/admin/page"
	"holdfast/proxy/approvals"
	"holdfast/proxy/audit"
	"holdfast/proxy/recorder"
)

// console implements admin.Backend and page.Backend. Each group of its methods is a type of its own, which has the
// parts of the proxy that it needs.
type console struct {
	*status
	processConsole
	connectionConsole
	ruleConsole
	*budgetBook
	*approvals.Book
	*trashConsole
	routeConsole
	recorder.Console
	auditConsole
	failoverConsole
	*hitHistory
}

var (
	_ admin.Backend = (*console)(nil)
	_ page.Backend  = (*console)(nil)
)

// newConsole makes the console of a server whose parts have started.
func newConsole(srv *Server) *console {
	return &console{
		status:            srv.status,
		processConsole:    processConsole{srv},
		connectionConsole: connectionConsole{srv.loops, make(chan struct{}, 1)},
		ruleConsole:       ruleConsole{srv.loops},
		budgetBook:        srv.budgets,
		Book:              srv.approvals,
		trashConsole:      &trashConsole{Keeper: srv.loops.workers[0].keeper, Closed: ErrServerClosed},
		routeConsole:      routeConsole{srv.loops, srv.proofs},
		Console:           srv.recorder.Console(processConsole{srv}.Audit),
		auditConsole:      auditConsole{srv.audit},
		failoverConsole:   failoverConsole{srv},
		hitHistory:        newHitHistory(ruleConsole{srv.loops}, srv.budgets),
	}
}

// auditConsole implements the page's view of the audit log.
type auditConsole struct{ log *audit.Log }

// AuditTail implements page.Backend.
func (c auditConsole) AuditTail(ctx context.Context, q audit.Query) (*audit.Tail, error) {
	return c.log.Tail(ctx, q)
}

// processConsole implements the rest of admin.ProcessBackend.
type processConsole struct{ srv *Server }

// Config implements admin.ProcessBackend.
func (c processConsole) Config(context.Context) ([]admin.Setting, error) {
	return c.srv.options().Settings, nil
}

// Reload implements admin.ProcessBackend.
func (c processConsole) Reload(ctx context.Context) (warnings []string, err error) {
	return c.srv.Reload(ctx)
}

// Drain implements admin.ProcessBackend.
func (c processConsole) Drain(context.Context) error {
	c.srv.askDrain()
	return nil
}

// Audit implements admin.ProcessBackend.
func (c processConsole) Audit(a admin.Action) {
	c.srv.audit.Note(audit.Entry{Verdict: a.Name, Command: a.Command, Operator: a.Operator,
		Result: a.Result})
}
