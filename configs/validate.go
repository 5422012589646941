package configs

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// maxName bounds the names of listeners, rules and services: they go into log lines, metric labels
// and the errors that clients see.
const maxName = 64

// maxUser bounds the names of users, which may be URIs: log lines and errors show them.
const maxUser = 512

// A validator gathers the faults of a Config's values.
type validator struct {
	c    *Config
	skip map[string]bool // paths that the decoder already reported
	errs Errors
}

// Validate returns all faults of c at once, as [Errors], with line and column where c came from a
// file. It asks neither the network nor the file system, and does not know which commands exist:
// package policy does.
func (c *Config) Validate() error { return c.validate(nil).orNil() }

// validate leaves out the places in known.
func (c *Config) validate(known Errors) Errors {
	v := &validator{c: c, skip: map[string]bool{}}
	for _, e := range known {
		v.skip[e.Path] = true
	}
	v.listeners()
	v.require(c.Workers >= 1 && c.Workers <= 1024, "workers", "must be from 1 to 1024")
	v.upstream()
	v.users()
	v.admin()
	v.journal()
	v.failover()
	v.oneOf("enforcement", c.Enforcement, Enforce, Observe)
	v.rules()
	v.budgets()
	v.routes()
	v.require(c.Audit.MaxSize >= 64*KiB, "audit.max_size", "must be at least 64KiB")
	v.require(c.Audit.Keep >= 1 && c.Audit.Keep <= 1000, "audit.keep", "must be from 1 to 1000")
	v.trash()
	v.limits()
	v.telemetry()
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "text", "json")
	v.require(c.Drain >= 0, "drain", "must not be negative")
	return v.errs
}

// fail reports an error about path, unless path or its parent could not even be decoded.
func (v *validator) fail(path, format string, args ...any) {
	for p := path; p != ""; p = parent(p) {
		if v.skip[p] {
			return
		}
	}
	text := fmt.Sprintf(format, args...)
	if strings.HasPrefix(text, "must ") {
		text = v.found(path, text)
	}
	v.errs = append(v.errs, v.c.At(path, text))
}

// found adds the file's value to the expected one at path. Elements of lists have no defaults, so
// that a value can be missing there.
func (v *validator) found(path, text string) string {
	if written, ok := v.c.origin.written[path]; ok {
		return text + ", got " + written
	}
	_, there := v.c.origin.at[path]
	if !there && v.c.origin.file != "" && strings.Contains(path, "[") {
		return "is missing: " + strings.TrimSuffix(text, `, got ""`)
	}
	return text
}

func (v *validator) require(ok bool, path, format string, args ...any) {
	if !ok {
		v.fail(path, format, args...)
	}
}

// check reports err, if any, about path.
func (v *validator) check(path string, err error) {
	if err != nil {
		v.fail(path, "%v", err)
	}
}

// oneOf requires value to be one of allowed.
func (v *validator) oneOf(path, value string, allowed ...string) {
	hint := ""
	if near := closest(strings.ToLower(value), allowed); near != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", near)
	}
	last := len(allowed) - 1
	v.require(slices.Contains(allowed, value), path, "must be %s or %s, got %q%s",
		strings.Join(allowed[:last], ", "), allowed[last], value, hint)
}

// name requires a name to be short, of one line, and printable.
func (v *validator) name(path, name string) {
	v.require(len(name) <= maxName, path, "at most %d bytes", maxName)
	printable := !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
	v.require(printable, path, "must be printable text of one line")
}

// entryName requires an entry of a list to have a name, other than those before it.
func (v *validator) entryName(path, what, name string, before map[string]bool) {
	path += ".name"
	v.require(name != "", path, "is missing: errors and metrics show it")
	v.name(path, name)
	v.require(name == "" || !before[name], path, "another %s has the same name", what)
	before[name] = true
}

func (v *validator) listeners() {
	v.require(len(v.c.Listeners) > 0, "listeners", "at least one is needed")
	names, addresses := map[string]bool{}, map[string]bool{}
	for i, l := range v.c.Listeners {
		path := fmt.Sprintf("listeners[%d]", i)
		v.check(path+".address", checkListen(l.Address))
		v.require(!addresses[l.Address] || strings.HasSuffix(l.Address, ":0"), path+".address",
			"another listener has the same address")
		v.require(l.Mode == 0 || isUnix(l.Address), path+".mode", "is for unix sockets only")
		v.require(l.Mode <= 0o777, path+".mode", "%v", errNotMode)
		v.name(path+".name", l.Name)
		v.require(l.Name == "" || !names[l.Name], path+".name",
			"another listener has the same name")
		names[l.Name], addresses[l.Address] = true, true
		v.serverTLS(path+".tls", l.TLS)
		v.userFrom(path+".user_from", l)
		v.proxyProtocol(path, l)
	}
}

func (v *validator) userFrom(path string, l Listener) {
	if l.UserFrom == "" {
		return
	}
	v.oneOf(path, l.UserFrom, UserFromCN, UserFromURI)
	v.require(l.TLS != nil && l.TLS.ClientAuth != ClientAuthNone, path,
		"needs client certificates: tls.client_auth request or require")
	v.require(len(v.c.Users) > 0, path, "needs users: those for whom certificates may stand")
}

// users checks the users' names by the server's rules for them: no space, no NUL.
func (v *validator) users() {
	names, read := map[string]bool{}, false
	for _, l := range v.c.Listeners {
		read = read || l.UserFrom != ""
	}
	v.require(read || len(v.c.Users) == 0, "users", "has no effect without user_from of a listener")
	for i, u := range v.c.Users {
		path := fmt.Sprintf("users[%d]", i)
		v.require(u.Name != "", path+".name", "is missing: the name of a user of the server")
		v.require(len(u.Name) <= maxUser, path+".name", "at most %d bytes", maxUser)
		v.require(!strings.ContainsFunc(u.Name, func(r rune) bool {
			return unicode.IsSpace(r) || !unicode.IsPrint(r)
		}), path+".name", "must be printable text without spaces")
		v.require(u.Name != "default", path+".name",
			"is the user of all clients without a login; give certificates a user of their own")
		v.require(u.Name == "" || !names[u.Name], path+".name", "another user has the same name")
		v.require((u.PasswordFile != "") != (u.Cert != ""), path,
			"needs either password_file, the file of the user's password on the server, or cert and key")
		v.require((u.Cert != "") == (u.Key != ""), path+".key", "cert and key go together")
		v.require(u.Cert == "" || v.c.Upstream.TLS != nil, path+".cert", "needs upstream.tls")
		names[u.Name] = true
	}
}

func (v *validator) proxyProtocol(path string, l Listener) {
	v.oneOf(path+".proxy_protocol", l.ProxyProtocol, off, ProxyProtocolOn)
	on := l.ProxyProtocol == ProxyProtocolOn
	v.require(!on || !isUnix(l.Address), path+".proxy_protocol", "is for TCP only")
	v.require(!on || len(l.ProxyProtocolFrom) > 0, path+".proxy_protocol_from",
		"is missing: the addresses of the balancers, which clients must not have")
	v.require(on || len(l.ProxyProtocolFrom) == 0, path+".proxy_protocol_from",
		"has no effect while proxy_protocol is off")
	for i, text := range l.ProxyProtocolFrom {
		_, err := ParsePrefix(text)
		v.check(fmt.Sprintf("%s.proxy_protocol_from[%d]", path, i), err)
	}
}

// serverTLS checks the TLS of an accepting side; nil is plain.
func (v *validator) serverTLS(path string, t *ServerTLS) {
	if t == nil {
		return
	}
	v.require(t.Cert != "", path+".cert", "is missing: the file of the certificate")
	v.require(t.Key != "", path+".key", "is missing: the file of the certificate's key")
	v.oneOf(path+".client_auth", t.ClientAuth, ClientAuthNone, ClientAuthRequest, ClientAuthRequire)
	asks := t.ClientAuth != ClientAuthNone
	v.require(!asks || t.ClientCA != "", path+".client_ca",
		"is missing: the file of the authorities that client certificates may be of")
	v.require(asks || t.ClientCA == "", path+".client_ca",
		"has no effect while client_auth is none: write request or require there")
}

func (v *validator) upstream() {
	u := v.c.Upstream
	if len(u.Sentinels) > 0 {
		v.sentinels(&u)
	} else {
		v.addresses(u.Address)
		v.withoutSentinels(&u)
	}
	v.password("upstream.", u.Password, u.PasswordFile)
	if t := u.TLS; t != nil {
		v.require((t.Cert == "") == (t.Key == ""), "upstream.tls", "cert and key go together")
		v.require(!slices.ContainsFunc(u.Address, isUnix) || t.ServerName != "", "upstream.tls.server_name",
			"is missing: a unix socket has no host to verify")
	}
	v.oneOf("upstream.guard", u.Guard, GuardACL, off)
	v.require(u.ConnectTimeout >= 10*time.Millisecond, "upstream.connect_timeout",
		"must be at least 10ms")
	v.require(u.TCPKeepalive == 0 || u.TCPKeepalive >= time.Second, "upstream.tcp_keepalive",
		"must be 0 (none) or at least 1s")
	v.require(u.MaxBackoff >= 10*time.Millisecond, "upstream.max_backoff", "must be at least 10ms")
	v.require(u.Hold >= 0 && u.Hold <= time.Hour, "upstream.hold", "must be from 0 to 1h")
}

// dial checks an address that the proxy connects to.
func (v *validator) dial(path, address string) {
	v.check(path, checkDial(address))
	for i, l := range v.c.Listeners {
		v.require(!samePlace(l.Address, address), path,
			"is listeners[%d] of this proxy: it would connect to itself", i)
	}
}

// maxSentinels bounds the list of sentinels: five are many.
const maxSentinels = 32

// sentinels checks an upstream that sentinels name.
func (v *validator) sentinels(u *Upstream) {
	v.require(len(u.Address) == 0, "upstream.address", "give either address or sentinels")
	v.require(len(u.Sentinels) <= maxSentinels, "upstream.sentinels", "has at most %d addresses", maxSentinels)
	for i, address := range u.Sentinels {
		path := fmt.Sprintf("upstream.sentinels[%d]", i)
		v.require(!isUnix(address), path, "a sentinel has a host and a port")
		v.require(!slices.Contains(u.Sentinels[:i], address), path, "%s is there twice", address)
		v.dial(path, address)
	}
	v.require(u.SentinelName != "", "upstream.sentinel_name",
		"is missing: the name that the sentinels have for the primary (sentinel monitor NAME …)")
	v.require(len(u.SentinelName) <= maxName && !strings.ContainsFunc(u.SentinelName, unicode.IsSpace),
		"upstream.sentinel_name", "must be at most %d bytes without spaces", maxName)
	v.password("upstream.sentinel_", u.SentinelPassword, u.SentinelPasswordFile)
	v.require(u.SentinelUsername == "" || u.SentinelPassword != "" || u.SentinelPasswordFile != "",
		"upstream.sentinel_username", "has no effect without sentinel_password")
	if t := u.SentinelTLS; t != nil {
		v.require((t.Cert == "") == (t.Key == ""), "upstream.sentinel_tls", "cert and key go together")
	}
}

// withoutSentinels refuses the keys that only sentinels need.
func (v *validator) withoutSentinels(u *Upstream) {
	for _, key := range []struct {
		name string
		set  bool
	}{
		{"name", u.SentinelName != ""}, {"username", u.SentinelUsername != ""},
		{"password", u.SentinelPassword != ""}, {"password_file", u.SentinelPasswordFile != ""},
		{"tls", u.SentinelTLS != nil},
	} {
		v.require(!key.set, "upstream.sentinel_"+key.name, "has no effect without upstream.sentinels")
	}
}

// password allows one source only: the reader should not have to guess which of two wins. keys is
// the beginning of the paths of both.
func (v *validator) password(keys string, p Secret, file string) {
	_, written := v.c.origin.at[keys+"password"]
	v.require(p == "" || file == "" || !written, keys+"password_file",
		"give either password or password_file")
}

func (v *validator) admin() {
	a := v.c.Admin
	v.password("admin.", a.Password, a.PasswordFile)
	v.serverTLS("admin.tls", a.TLS)
	if a.Address != "" {
		v.check("admin.address", checkListen(a.Address))
		v.require(isLoopback(a.Address) || a.Password != "" || a.PasswordFile != "",
			"admin.address", "a console that other machines can reach needs admin.password")
	}
	if a.HTTP != "" {
		v.check("admin.http", checkListen(a.HTTP))
		v.require(!samePlace(a.Address, a.HTTP), "admin.http", "is the address of the console")
	}
	v.require(!a.Pprof || a.HTTP != "", "admin.pprof", "needs admin.http")
	for i, host := range a.HTTPHosts {
		path := fmt.Sprintf("admin.http_hosts[%d]", i)
		v.require(host != "" && !strings.ContainsAny(host, "*/ "), path, "must be a host name, got %q", host)
	}
	for i, l := range v.c.Listeners {
		v.require(!samePlace(l.Address, a.Address), "admin.address",
			"is the address of listeners[%d]", i)
		v.require(!samePlace(l.Address, a.HTTP), "admin.http",
			"is the address of listeners[%d]", i)
	}
}

// actions are the actions of rules.
var actions = []string{"allow", "deny", "confirm", "trash", "rewrite"}

func (v *validator) failover() {
	v.oneOf("failover.feed", v.c.Failover.Feed, Auto, Always, off)
	v.oneOf("failover.fence", v.c.Failover.Fence, Auto, off)
}

func (v *validator) journal() {
	j := v.c.Journal
	_, begun := v.c.origin.at["journal"]
	_, named := v.c.origin.at["journal.dir"]
	v.require(!begun || named, "journal.dir", "is missing: without it there is no journal "+
		`(to have none, leave the section out or write dir: "")`)
	v.require(!j.Required || j.Dir != "", "journal.required", "needs journal.dir")
	v.require(j.Base.Every == 0 || j.Base.Every >= time.Minute, "journal.base.every",
		"must be 0 (age does not matter) or at least 1m")
	v.require(j.Base.Bytes == 0 || j.Base.Bytes >= MiB, "journal.base.bytes",
		"must be 0 (length does not matter) or at least 1MiB")
	v.require(j.Retention.Age == 0 || j.Retention.Age >= time.Minute, "journal.retention.age",
		"must be 0 (no limit) or at least 1m")
	v.require(j.Retention.Bytes == 0 || j.Retention.Bytes >= 128*MiB, "journal.retention.bytes",
		"must be 0 (no limit) or at least 128MiB (two segments)")
	percent := func(path string, n int) {
		v.require(n >= 0 && n <= 99, path, "must be from 1 to 99 percent or 0 (no limit)")
	}
	percent("journal.disk.warn", j.Disk.Warn)
	percent("journal.disk.stop", j.Disk.Stop)
	v.require(j.Disk.Stop == 0 || j.Disk.Warn < j.Disk.Stop, "journal.disk.warn",
		"must be below journal.disk.stop")
	v.require(j.Backlog >= time.Second, "journal.backlog", "must be at least 1s")
	v.require(j.Mark == 0 || j.Mark >= 100*time.Millisecond, "journal.mark",
		"must be 0 (never) or at least 100ms")
	v.require(j.Scrub.Every == 0 || j.Scrub.Every >= time.Minute, "journal.scrub.every",
		"must be 0s or at least 1m")
	v.require(j.Scrub.Rate == 0 || j.Scrub.Rate >= Rate(MiB), "journal.scrub.rate",
		"must be 0/s or at least 1MiB/s")
	v.oneOf("journal.on_loss", j.OnLoss, OnLossHold, OnLossContinue)
}

func (v *validator) rules() {
	names := map[string]bool{}
	for i, r := range v.c.Rules {
		path := fmt.Sprintf("rules[%d]", i)
		v.entryName(path, "rule", r.Name, names)
		v.require(len(r.Commands) > 0, path+".commands", "names no command")
		for j, name := range r.Commands {
			v.require(name != "", fmt.Sprintf("%s.commands[%d]", path, j), "is empty")
		}
		for j, name := range r.Except {
			v.require(name != "", fmt.Sprintf("%s.except[%d]", path, j), "is empty")
		}
		v.knownListeners(path, r.Listeners)
		v.oneOf(path+".action", r.Action, actions...)
		v.require(r.Keep == 0 || r.Action == "trash", path+".keep", "is for the action trash only")
		v.require(r.Keep >= 0, path+".keep", "must not be negative")
		v.require(r.Limit == RuleLimit{} || r.Limit.Rate != "", path+".limit.rate", "is missing")
		if r.Enforcement != "" {
			v.oneOf(path+".enforcement", r.Enforcement, Enforce, Observe)
		}
	}
}

func (v *validator) trash() {
	t := v.c.Trash
	v.require(t.Databases == nil || len(t.Databases) >= 2, "trash.databases",
		"two at the least: one is for the ledger")
	seen := map[int]bool{}
	for i, db := range t.Databases {
		path := fmt.Sprintf("trash.databases[%d]", i)
		v.require(db >= 1, path, "must be at least 1 (applications begin in database 0)")
		v.require(!seen[db], path, "is here twice")
		seen[db] = true
	}
}

func (v *validator) budgets() {
	names := map[string]bool{}
	for i, b := range v.c.Budgets {
		path := fmt.Sprintf("budgets[%d]", i)
		v.entryName(path, "budget", b.Name, names)
		v.require(b.Keys >= 1, path+".keys", "must be at least 1")
		v.require(b.Window >= time.Millisecond, path+".window", "must be at least 1ms")
		v.require(b.Open >= 0, path+".open", "must not be negative")
		if b.Per != "" {
			v.oneOf(path+".per", b.Per, "global", "user", "address", "session")
		}
	}
}

func (v *validator) limits() {
	l := v.c.Limits
	atLeast := func(path string, got, least Bytes) {
		v.require(got >= least, "limits."+path, "must be at least %v", least)
	}
	v.require(l.MaxClients >= 1, "limits.max_clients", "must be at least 1")
	atLeast("client_input", l.ClientInput, MiB) // the least client-query-buffer-limit of Redis
	atLeast("client_output", l.ClientOutput, 64*KiB)
	atLeast("link_queue", l.LinkQueue, 64*KiB)
	if l.Memory != 0 {
		atLeast("memory", l.Memory, 16*MiB)
	}
	v.require(l.MaxArgs >= 1 && l.MaxArgs <= 1<<31-1, "limits.max_args",
		"must be from 1 to 2147483647")
	atLeast("max_bulk", l.MaxBulk, MiB) // the least proto-max-bulk-len of Redis
	v.require(l.MaxInline >= KiB && l.MaxInline <= MiB, "limits.max_inline",
		"must be from 1KiB to 1MiB")
	v.require(l.PinnedLinks >= 1, "limits.pinned_links", "must be at least 1")
	v.require(l.PinnedWait >= time.Millisecond, "limits.pinned_wait", "must be at least 1ms")
	v.require(l.ReadyLinks >= 0 && l.ReadyLinks <= 32, "limits.ready_links",
		"must be between 0 and 32")
	v.require(l.UpstreamLinks == 0 || l.UpstreamLinks >= 16, "limits.upstream_links",
		"must be 0 (three quarters of the server's maxclients) or at least 16")
	v.require(l.UserLinks >= 8, "limits.user_links", "must be at least 8")
	v.require(l.ClientLinks >= 4, "limits.client_links", "must be at least 4")
	v.require(l.LinkWait >= time.Millisecond, "limits.link_wait", "must be at least 1ms")
	v.require(l.IdleTimeout == 0 || l.IdleTimeout >= time.Second, "limits.idle_timeout",
		"must be 0 (none) or at least 1s")
}

func (v *validator) telemetry() {
	t := v.c.Telemetry
	if t.OTLP != "" {
		u, err := url.Parse(t.OTLP)
		ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
		v.require(ok, "telemetry.otlp", "must be a URL such as http://127.0.0.1:4318")
		v.require(!ok || u.User == nil, "telemetry.otlp", "must not hold a password")
	}
	v.require(t.Sample >= 0 && t.Sample <= 1, "telemetry.sample", "%v", errNotShare)
	v.require(t.ServiceName != "", "telemetry.service_name", "is missing")
	v.name("telemetry.service_name", t.ServiceName)
}
