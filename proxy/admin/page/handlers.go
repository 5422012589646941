package page

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/journal/quantity"
	"holdfast/proxy/admin"
)

// parts are the pieces that updates replace: templates in the order of the page.
var parts = []string{"health", "routes", "pending", "line", "repair", "trash", "rules", "server", "audit"}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"name": name, "clean": admin.Clean, "number": quantity.Grouped, "counted": counted, "stamp": stamp, "machine": machineTime,
	"dur": admin.Duration, "size": admin.Size, "words": func(list []string) string { return strings.Join(list, " ") },
	"route": routeState, "upstream": upstreamState, "acted": acted, "repairing": repairState,
	"plus": func(a, b uint64) uint64 { return a + b }, "plus64": func(a, b int64) int64 { return a + b },
	"int64": toInt64, "newest": newest, "pair": func(v *view, e admin.TrashEntry) entryView { return entryView{v, e} },
	"add": func(a, b int) int { return a + b }, "sub": func(a, b int) int { return max(0, a-b) },
	"millis": func(t time.Time) int64 { return t.UnixMilli() }, "databases": databases, "rows": func() int { return trashRows },
	"incident": incidentNumber,
	"fraction": func(part, of int64) int64 { return min(100, max(0, part)*100/max(of, 1)) },
}).ParseFS(assets, "assets/*.html"))

// entryView is an entry of the trash on a reader's page.
type entryView struct {
	View  *view
	Entry admin.TrashEntry
}

// newest is a list that is oldest first, turned round.
func newest(list []admin.TrashEntry) []admin.TrashEntry {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// toInt64 is a count for "counted".
func toInt64(n any) int64 {
	v := reflect.ValueOf(n)
	if v.CanUint() {
		return int64(v.Uint())
	}
	return v.Int()
}

// acceptsHTML reports whether a client asks for a page: a browser does.
func acceptsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// render sends a template. It is whole or an error: nothing half rendered leaves.
func (p *Page) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		p.log.Error("page: template", "name", name, "error", err)
		http.Error(w, "internal error; the log of the proxy says more", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// A client that left is not our error.
	_, _ = w.Write(b.Bytes())
}

// message is a page of one message.
type message struct {
	Title string
	Lines []string
}

func (p *Page) fail(w http.ResponseWriter, _ *http.Request, status int, why string) {
	p.render(w, status, "message.html", message{http.StatusText(status), []string{why}})
}

// index is the page itself.
func (p *Page) index(w http.ResponseWriter, r *http.Request) {
	if err := p.renders.enter(r.Context()); err != nil {
		return // the client has left
	}
	defer p.renders.leave()
	id := p.sessionOf(r)
	who, maxAge := p.viewer(id, true), refresh/2
	told := notice{}
	if who.Acts {
		if told = p.sessions.take(id); told.Text != "" {
			maxAge = 0 // it shows the outcome
		}
	}
	q := queryOf(r)
	spot, chosen := parseSpot(q.At)
	var preview part[*Preview]
	var all sync.WaitGroup
	if chosen {
		all.Go(func() { preview = p.previews.get(r.Context(), spot) })
	}
	v, err := p.view(r.Context(), who, q, maxAge)
	all.Wait()
	if err != nil {
		return
	}
	if chosen {
		v.chosen(spot, preview)
	}
	v.Notice = told
	p.render(w, http.StatusOK, "page.html", v)
}

func streamAddress(q query) string {
	v := url.Values{}
	if q.Who != "" {
		v.Set("who", q.Who)
	}
	if q.From > 0 {
		v.Set("from", strconv.Itoa(q.From))
	}
	if len(v) == 0 {
		return "/stream"
	}
	return "/stream?" + v.Encode()
}

// login is the form for the password.
type login struct {
	Next  string // where it leads
	Wrong string // why the last attempt failed
}

// destination is the page after a login: that of a change, or the first one. It is never another site's.
func destination(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil {
		return "/"
	}
	if _, ok := changes[u.Path]; !ok {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.Query().Encode()}).String()
}

func (p *Page) loginForm(w http.ResponseWriter, r *http.Request) {
	if !p.viewer(p.sessionOf(r), true).Login {
		http.Redirect(w, r, destination(r.URL.Query().Get("next")), http.StatusSeeOther)
		return
	}
	p.render(w, http.StatusOK, "login.html", login{Next: destination(r.URL.Query().Get("next"))})
}

func (p *Page) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.fail(w, r, http.StatusBadRequest, "this form cannot be read")
		return
	}
	next := destination(r.PostForm.Get("next"))
	if p.opts.Password() == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	id, ok, err := p.logIn(r.Context(), host(r), r.PostForm.Get("password"))
	switch {
	case err != nil:
		p.render(w, http.StatusTooManyRequests, "login.html", login{next, "Too many wrong passwords from this address: " +
			"try again in a few seconds."})
	case !ok:
		p.refused.Tell(p.log, levelWarn, "page: wrong password", nil, "client", operator(r))
		p.render(w, http.StatusForbidden, "login.html", login{next, "This is not the console's password."})
	default:
		p.sessions.end(p.sessionOf(r))
		p.log.Info("page: logged in", "client", operator(r))
		p.setCookie(w, id)
		http.Redirect(w, r, next, http.StatusSeeOther)
	}
}

func (p *Page) logout(w http.ResponseWriter, r *http.Request) {
	p.sessions.end(p.sessionOf(r))
	p.setCookie(w, "")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
