package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast/proxy/admin"
)

// changeTime bounds a change, as the console does.
const changeTime = 5 * time.Second

// A change is an operator's action: the page first says it in words, then does it.
type change struct {
	plan func(p *Page, ctx context.Context, form url.Values) (*plan, error)
	do   func(p *Page, ctx context.Context, form url.Values, by string) (string, error)
}

var changes = map[string]change{
	"/undo":    {(*Page).planUndo, (*Page).undo},
	"/approve": {(*Page).planApprove, (*Page).approve},
	"/reject":  {(*Page).planReject, (*Page).reject},
	"/purge":   {(*Page).planPurge, (*Page).purge},
	"/repair":  {(*Page).planRepair, (*Page).repair},
	"/reload":  {(*Page).planReload, (*Page).reload},
}

// A plan says what a change will do.
type plan struct {
	Path    string
	Title   string
	Lines   []string
	Fields  []field
	Legend  string // of Choices
	Choices []choice
	Button  string
	Danger  bool
}

type (
	field  struct{ Name, Value string }
	choice struct {
		Value, Title, Text string
		Chosen             bool
	}
)

var errReadOnly = errors.New("this page only shows: the configuration has no password for the console " +
	"(admin.password_file), so that it cannot ask for one; use the console")

// mayAct answers a request of a reader who may not change anything, and reports whether it may.
func (p *Page) mayAct(w http.ResponseWriter, r *http.Request) bool {
	who := p.viewer(p.sessionOf(r), true)
	switch {
	case who.Acts:
		return true
	case who.Login && r.Method != http.MethodPost:
		http.Redirect(w, r, "/login?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
	case who.Login:
		p.fail(w, r, http.StatusForbidden, "nothing was done: your login has ended, or never began")
	default:
		p.fail(w, r, http.StatusForbidden, errReadOnly.Error())
	}
	return false
}

// confirm shows the form that repeats what a change will do.
func (p *Page) confirm(w http.ResponseWriter, r *http.Request) {
	if !p.mayAct(w, r) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTime)
	defer cancel()
	plan, err := changes[r.URL.Path].plan(p, ctx, r.URL.Query())
	if err != nil {
		p.fail(w, r, http.StatusNotFound, admin.Clean(err.Error()))
		return
	}
	plan.Path = r.URL.Path
	p.render(w, http.StatusOK, "confirm.html", plan)
}

// change carries out a change. Its outcome is on the page that follows.
func (p *Page) change(w http.ResponseWriter, r *http.Request) {
	if !p.mayAct(w, r) {
		return
	}
	if err := r.ParseForm(); err != nil {
		p.fail(w, r, http.StatusBadRequest, "nothing was done: this form cannot be read")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTime)
	defer cancel()
	text, err := changes[r.URL.Path].do(p, ctx, r.PostForm, operator(r))
	told := notice{Text: text}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		told = notice{"No answer in time; it may have been done.", true}
	case err != nil:
		told = notice{"It failed: " + admin.Clean(strings.ReplaceAll(err.Error(), "\n", "; ")), true}
	}
	p.sessions.tell(p.sessionOf(r), told)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// trashEntry finds an entry on the first page of the trash or on the one from which the reader comes.
func (p *Page) trashEntry(ctx context.Context, form url.Values) (*admin.TrashEntry, error) {
	id, err := strconv.ParseUint(form.Get("id"), 10, 64)
	if err != nil || id == 0 {
		return nil, errors.New("there is no such entry in the trash")
	}
	pages := []int{0}
	if from, err := strconv.Atoi(form.Get("from")); err == nil && from > 0 && from < 1<<40 {
		pages = append(pages, from)
	}
	for _, from := range pages {
		t, err := p.backend.TrashPage(ctx, from, trashRows)
		if err != nil {
			return nil, err
		}
		for _, list := range [][]admin.TrashEntry{t.Entries, t.Keys} {
			for i := range list {
				if list[i].ID == id {
					return &list[i], nil
				}
			}
		}
	}
	return nil, fmt.Errorf("entry %d is no longer there: it was put back, emptied, or has moved to another page", id)
}

func (p *Page) planUndo(ctx context.Context, form url.Values) (*plan, error) {
	e, err := p.trashEntry(ctx, form)
	if err != nil {
		return nil, err
	}
	out := &plan{Title: fmt.Sprintf("Undo entry %d?", e.ID), Button: "Put it back", Lines: []string{
		fmt.Sprintf("%s of %s come back, which user %s (%s) moved to the trash at %s UTC by: %s",
			counted(e.Keys, "key"), databases(e.Databases), name(e.User), name(e.Addr), stamp(e.At), name(e.Command)),
		"Clients see them at once."},
		Fields: []field{{"id", strconv.FormatUint(e.ID, 10)}},
		Legend: "Keys that were written there since",
		Choices: []choice{
			{"", "Only if nothing is in the way", "If keys were written there since, nothing happens, and you are told.", true},
			{"REPLACE", "Replace", "Writes there since then go to the trash, as an entry of their own.", false},
			{"MERGE", "Merge", "Writes since then stay, and win; every other key comes back.", false}}}
	return out, nil
}

func databases(list []int) string {
	if len(list) == 1 {
		return fmt.Sprintf("database %d", list[0])
	}
	return "databases " + strings.ReplaceAll(strings.Trim(fmt.Sprint(list), "[]"), " ", ", ")
}

func (p *Page) undo(ctx context.Context, form url.Values, by string) (text string, err error) {
	id, err := strconv.ParseUint(form.Get("id"), 10, 64)
	how := form.Get("how")
	if err != nil || id == 0 || how != "" && how != "REPLACE" && how != "MERGE" {
		return "", errors.New("this form names no entry of the trash")
	}
	u, err := p.backend.Undo(ctx, id, how)
	result := ""
	if err == nil {
		result = u.Text()
		text = fmt.Sprintf("Undo of entry %d: %s.", id, result)
	}
	p.note("undo", strings.TrimSpace(fmt.Sprintf("UNDO %d %s", id, how)), by, result, err)
	return text, err
}

// note writes a change to the audit log and the log, by the console's command that is the same.
func (p *Page) note(what, command, by, result string, err error) {
	if err != nil {
		result = "ERR " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	p.backend.Audit(admin.Action{Operator: by, Name: what, Command: command, Result: result})
	p.log.Info("page: "+what, "client", by, "command", command, "result", result)
}

func (p *Page) planPurge(ctx context.Context, form url.Values) (*plan, error) {
	e, err := p.trashEntry(ctx, form)
	if err != nil {
		return nil, err
	}
	return &plan{Title: fmt.Sprintf("Empty entry %d for good?", e.ID), Button: "Empty it for good", Danger: true, Lines: []string{
		fmt.Sprintf("%s of %s, which user %s (%s) moved to the trash at %s UTC, are gone then: %s", counted(e.Keys, "key"),
			databases(e.Databases), name(e.User), name(e.Addr), stamp(e.At), name(e.Command)),
		"No UNDO brings them back. A restore does, if the journal reaches back to the moment before.",
		"Without this the entry is emptied at " + stamp(e.Until) + " UTC."},
		Fields: []field{{"id", strconv.FormatUint(e.ID, 10)}}}, nil
}

func (p *Page) purge(ctx context.Context, form url.Values, by string) (string, error) {
	id, err := strconv.ParseUint(form.Get("id"), 10, 64)
	if err != nil || id == 0 {
		return "", errors.New("this form names no entry of the trash")
	}
	err = p.backend.Purge(ctx, id)
	p.note("purge", fmt.Sprintf("PURGE %d", id), by, "OK", err)
	return fmt.Sprintf("Entry %d is emptied for good.", id), err
}

func (p *Page) planReload(ctx context.Context, _ url.Values) (*plan, error) {
	s, err := p.backend.Stats(ctx)
	if err != nil {
		return nil, err
	}
	if s.Config == "" {
		return nil, errors.New("this proxy was started without a configuration file")
	}
	return &plan{Title: "Read the configuration file again?", Button: "Reload", Lines: []string{
		fmt.Sprintf("%s is read and checked, and is in force at once: rules, budgets, routes, limits, upstream, passwords. A file "+
			"with an error, or an upstream that does not answer, changes nothing.", name(s.Config)),
		"listeners, workers, admin.tls and journal.dir take a restart or an upgrade; you are told if one of them differs.",
		"A new password of the console ends every login, this one too."}}, nil
}

func (p *Page) reload(ctx context.Context, _ url.Values, by string) (string, error) {
	warnings, err := p.backend.Reload(ctx)
	result, text := "OK", "The configuration file was read again, and is in force."
	if len(warnings) > 0 {
		result = "OK, but these need a restart: " + strings.Join(warnings, " ")
		text += " These need a restart or an upgrade: " + admin.Clean(strings.Join(warnings, ", ")) + "."
	}
	p.note("reload", "RELOAD", by, result, err)
	return text, err
}

// waiting finds a command that waits for approval.
func (p *Page) waiting(ctx context.Context, form url.Values) (*admin.Pending, error) {
	list, err := p.backend.Pending(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Token == form.Get("token") {
			return &list[i], nil
		}
	}
	return nil, errors.New("this command no longer waits: it was decided, used, or forgotten after ten minutes")
}

func (p *Page) planApprove(ctx context.Context, form url.Values) (*plan, error) {
	c, err := p.waiting(ctx, form)
	if err != nil {
		return nil, err
	}
	return &plan{Title: "Approve this command?", Button: "Approve it", Danger: true, Lines: []string{
		name(c.Command), fmt.Sprintf("User %s may send exactly this in database %d, once, within five minutes. The rule %s "+
			"guards it; it was first sent from %s.", name(c.User), c.DB, name(c.Rule), name(c.Addr))},
		Fields: []field{{"token", c.Token}}}, nil
}

func (p *Page) planReject(ctx context.Context, form url.Values) (*plan, error) {
	c, err := p.waiting(ctx, form)
	if err != nil {
		return nil, err
	}
	return &plan{Title: "Reject this command?", Button: "Reject it", Lines: []string{name(c.Command), fmt.Sprintf(
		"It is forgotten, also if it was approved. If user %s sends it again, it waits again, under a new token.",
		name(c.User))}, Fields: []field{{"token", c.Token}}}, nil
}

func (p *Page) approve(ctx context.Context, form url.Values, by string) (string, error) {
	c, err := decided(p.backend.Approve(ctx, form.Get("token"), by))
	if err != nil {
		return "", err
	}
	p.log.Info("page: approved", "client", by, "token", c.Token, "user", c.User, "command", c.Command)
	return fmt.Sprintf("Approved: user %s may send this once within five minutes: %s", name(c.User), name(c.Command)), nil
}

func (p *Page) reject(ctx context.Context, form url.Values, by string) (string, error) {
	c, err := decided(p.backend.Reject(ctx, form.Get("token"), by))
	if err != nil {
		return "", err
	}
	p.log.Info("page: rejected", "client", by, "token", c.Token, "user", c.User, "command", c.Command)
	return fmt.Sprintf("Rejected: %s of user %s", name(c.Command), name(c.User)), nil
}

func decided(c *admin.Pending, err error) (*admin.Pending, error) {
	if err == nil && c == nil {
		err = errors.New("nothing waits under this token")
	}
	return c, err
}
