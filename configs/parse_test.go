package configs

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// parseCases are files with their faults, line by line; no line means none.
var parseCases = []struct {
	name string
	text string
	want []string
}{
	{"empty", "", nil},
	{"comments only", "# nothing\n\n# here\n", nil},
	{"byte order mark", "\xef\xbb\xbfworkers: 2\n", nil},
	{"carriage returns", "workers: 2\r\nlog:\r\n  level: info\r\n", nil},
	{"document marks", "---\nworkers: 2\n...\n", nil},
	{"sections without entries", "upstream:\nlimits:\n  # max_args: 5\nlog: {}\n", nil},
	{"flow style", "log: {level: debug, format: json}\n", nil},

	{"unknown key", "upstream:\n  adress: a:1\n",
		[]string{`f:2:3: upstream: unknown key "adress" (did you mean address?)`}},
	{"unknown section", "\nuptream: {}\n",
		[]string{`f:2:1: unknown key "uptream" (did you mean upstream?)`}},
	{"unknown key far from any", "colour: blue\n", []string{`f:1:1: unknown key "colour"`}},
	{"wrong case", "Workers: 2\n", []string{`f:1:1: unknown key "Workers" (did you mean workers?)`}},
	{"unknown key in a list", "listeners:\n  - address: a:1\n    nmae: x\n",
		[]string{`f:3:5: listeners[0]: unknown key "nmae" (did you mean name?)`}},
	{"twice", "workers: 1\ndrain: 1s\nworkers: 2\n",
		[]string{`f:3:1: the key "workers" is here twice, first in line 1`}},
	{"twice in a section", "log: {level: info, level: warn}\n",
		[]string{`f:1:20: log: the key "level" is here twice, first in line 1`}},
	{"key that is a number", "5: x\n",
		[]string{`f:1:1: expected a key of plain text, got a number`}},
	{"all at once, in the order of the file",
		"drain: soon\nworkers: 0\nlistners: []\nlog:\n  level: loud\n",
		[]string{
			`f:1:8: drain: expected a duration such as 500ms, 10s, 24h or 7d, got "soon"`,
			`f:2:10: workers: must be from 1 to 1024, got 0`,
			`f:3:1: unknown key "listners" (did you mean listeners?)`,
			`f:5:10: log.level: must be debug, info, warn or error, got "loud"`,
		}},

	{"TLS", "listeners: [{address: \"a:1\", tls: {cert: c, key: k}}]\n", nil},
	{"TLS with nothing in it", "listeners:\n  - address: a:1\n    tls:\n      # cert: c\n",
		[]string{`f:3:5: listeners[0].tls: is empty: write {} for the defaults, or leave it out`}},
	{"TLS without files", "listeners:\n  - address: a:1\n    tls: {client_auth: require}\n", []string{
		"f:3:10: listeners[0].tls.cert: is missing: the file of the certificate",
		"f:3:10: listeners[0].tls.key: is missing: the file of the certificate's key",
		"f:3:10: listeners[0].tls.client_ca: is missing: the file of the authorities that client certificates may be of"}},
	{"authorities without effect", "listeners:\n  - address: a:1\n    tls: {cert: c, key: k, client_ca: a}\n",
		[]string{"f:3:39: listeners[0].tls.client_ca: has no effect while client_auth is none: write request or require there"}},

	{"balancers that are not named", "listeners: [{address: \"a:1\", proxy_protocol: v1v2}]\n", []string{
		"f:1:13: listeners[0].proxy_protocol_from: is missing: the addresses of the balancers, which clients must not have"}},
	{"balancers", "listeners:\n- address: a:1\n  proxy_protocol: v1v2\n  proxy_protocol_from: [10.0.0.1, \"10.0.0.0/33\"]\n", []string{
		"f:4:35: listeners[0].proxy_protocol_from[1]: must be an address or a prefix such as 10.0.0.0/8, got \"10.0.0.0/33\""}},
	{"users", "listeners: [{address: \"a:1\", user_from: cn, tls: {cert: c, key: k, client_ca: a, client_auth: require}}]\n" +
		"users: [{name: app, password_file: f}]\n", nil},
	{"users with certificates", "listeners: [{address: \"a:1\", user_from: cn, tls: {cert: c, key: k, client_ca: a, client_auth: require}}]\n" +
		"upstream: {tls: {}}\nusers: [{name: app, cert: c, key: k}]\n", nil},
	{"half a user", "listeners: [{address: \"a:1\", user_from: cn, tls: {cert: c, key: k, client_ca: a, client_auth: require}}]\n" +
		"users: [{name: a, password_file: f, cert: c}, {name: b, key: k}]\n", []string{
		"f:2:9: users[0]: needs either password_file, the file of the user's password on the server, or cert and key",
		"f:2:9: users[0].key: cert and key go together",
		"f:2:43: users[0].cert: needs upstream.tls",
		"f:2:47: users[1]: needs either password_file, the file of the user's password on the server, or cert and key",
		"f:2:62: users[1].key: cert and key go together"}},
	{"users without certificates", "listeners:\n- {address: \"a:1\", user_from: dn}\n- {address: \"a:2\", user_from: uri, tls: {cert: c, key: k}}\n", []string{
		`f:2:31: listeners[0].user_from: must be cn or uri, got "dn" (did you mean cn?)`,
		"f:2:31: listeners[0].user_from: needs client certificates: tls.client_auth request or require",
		"f:2:31: listeners[0].user_from: needs users: those for whom certificates may stand",
		"f:3:31: listeners[1].user_from: needs client certificates: tls.client_auth request or require",
		"f:3:31: listeners[1].user_from: needs users: those for whom certificates may stand"}},
	{"users without effect", "users: [{name: default}, {name: a b, password_file: f}, {password_file: f}]\n", []string{
		"f:1:8: users: has no effect without user_from of a listener",
		"f:1:9: users[0]: needs either password_file, the file of the user's password on the server, or cert and key",
		"f:1:16: users[0].name: is the user of all clients without a login; give certificates a user of their own",
		"f:1:33: users[1].name: must be printable text without spaces",
		"f:1:57: users[2].name: is missing: the name of a user of the server"}},

	{"half a certificate", "upstream:\n  tls: {cert: c}\n", []string{"f:2:8: upstream.tls: cert and key go together"}},
	{"TLS by a unix socket", "upstream: {address: \"unix:/s\", tls: {}}\n",
		[]string{"f:1:37: upstream.tls.server_name: is missing: a unix socket has no host to verify"}},

	{"text for a number", "workers: many\n",
		[]string{`f:1:10: workers: expected a whole number, got text`}},
	{"fraction for a whole number", "workers: 1.5\n",
		[]string{`f:1:10: workers: expected a whole number, got a number`}},
	{"number for text", "upstream:\n  password: 0123\n",
		[]string{`f:2:13: upstream.password: expected text, got a number: put it in quotes`}},
	{"truth value for text", "log: {level: true}\n",
		[]string{`f:1:14: log.level: expected text, got a truth value: put it in quotes`}},
	{"text for a section", "log: info\n",
		[]string{`f:1:6: log: expected keys and values, got text`}},
	{"list for a section", "log:\n  - info\n",
		[]string{`f:2:3: log: expected keys and values, got a list`}},
	{"section for a list", "listeners:\n  address: a:1\n",
		[]string{`f:2:3: listeners: expected a list ([] for none), got keys and values`}},
	{"text for a list", "rules:\n- {name: a, commands: get, action: deny}\n",
		[]string{`f:2:23: rules[0].commands: expected a list ([] for none), got text`}},
	{"nothing for a list", "rules:\n",
		[]string{`f:1:1: rules: expected a list ([] for none), got nothing`}},
	{"nothing for a value", "workers:\n",
		[]string{`f:1:1: workers: expected a whole number, got nothing`}},
	{"a list at the top", "- a\n", []string{`f:1:1: expected keys and values, got a list`}},
	{"text at the top", "hello\n", []string{`f:1:1: expected keys and values, got text`}},

	{"anchor", "workers: &n 1\n",
		[]string{`f:1:10: workers: anchors and aliases (&, *) are not supported; ` +
			`text that begins with one of them needs quotes`}},
	{"alias", "workers: *n\n",
		[]string{`f:1:10: workers: anchors and aliases (&, *) are not supported; ` +
			`text that begins with one of them needs quotes`}},
	{"tag", "workers: !!int 1\n",
		[]string{`f:1:10: workers: tags and directives (!, %) are not supported; ` +
			`text that begins with one of them needs quotes`}},
	{"merge key", "log:\n  <<: {level: info}\n",
		[]string{`f:2:3: log: expected a key of plain text, got a merge key (<<)`}},
	{"two documents", "workers: 1\n---\nworkers: 2\n",
		[]string{`f:3:1: a second document: one file holds one`}},
	{"tab", "log:\n\tlevel: info\n",
		[]string{`f:2:1: found character '` + "\t" + `' that cannot start any token: ` +
			`indent with spaces, not with tabs`}},
	{"indented too far", "upstream:\n  address: a:1\n   guard: acl\n",
		[]string{`f:2:12: mapping value is not allowed in this context: ` +
			`is the line indented like its neighbours, and is text that holds ": " in quotes?`}},
	{"values that are nearly right",
		"rules: [{name: a, commands: [get], action: trahs}]\nenforcement: Enforce\n",
		[]string{`f:1:44: rules[0].action: must be allow, deny, confirm, trash or rewrite, ` +
			`got "trahs" (did you mean trash?)`,
			`f:2:14: enforcement: must be enforce or observe, got "Enforce" ` +
				`(did you mean enforce?)`}},
	{"not UTF-8", "workers: 1\nlog: {level: \xff}\n", []string{`f:2:1: the text is not UTF-8`}},
	{"open bracket", "listeners: [\n",
		[]string{`f:1:12: sequence end token ']' not found`}},

	{"journal", "journal: {dir: ./data}\n", nil},
	{"journal switched off", "journal: {dir: \"\", base: {every: 1h}}\n", nil},
	{"journal without a place", "journal:\n  retention: {age: 1d}\n",
		[]string{`f:2:3: journal.dir: is missing: without it there is no journal ` +
			`(to have none, leave the section out or write dir: "")`}},
	{"journal without limits", "journal: {dir: j, base: {every: 0s, bytes: 0}, " +
		"retention: {age: 0s, bytes: 0}, disk: {warn: 0, stop: 0}}\n", nil},
	{"journal limits",
		"journal:\n  dir: j\n  base: {every: 1s, bytes: 1}\n  retention: {age: 1s, bytes: 1}\n" +
			"  disk: {warn: 96, stop: 95}\n  backlog: 0s\n",
		[]string{
			`f:3:17: journal.base.every: must be 0 (age does not matter) or at least 1m, got 1s`,
			`f:3:28: journal.base.bytes: must be 0 (length does not matter) or at least 1MiB, got 1`,
			`f:4:20: journal.retention.age: must be 0 (no limit) or at least 1m, got 1s`,
			`f:4:31: journal.retention.bytes: must be 0 (no limit) or at least 128MiB (two segments), got 1`,
			`f:5:16: journal.disk.warn: must be below journal.disk.stop, got 96`,
			`f:6:12: journal.backlog: must be at least 1s, got 0s`,
		}},
	{"journal percent", "journal: {dir: j, disk: {warn: -1, stop: 100}}\n",
		[]string{
			`f:1:32: journal.disk.warn: must be from 1 to 99 percent or 0 (no limit), got -1`,
			`f:1:42: journal.disk.stop: must be from 1 to 99 percent or 0 (no limit), got 100`,
		}},
	{"journal required but absent", "journal: {dir: \"\", required: true}\n",
		[]string{`f:1:30: journal.required: needs journal.dir`}},
	{"failover", "failover: {feed: on}\n", []string{`f:1:18: failover.feed: must be auto, always or off, got "on"`}},
	{"fence", "failover: {fence: on}\n", []string{`f:1:19: failover.fence: must be auto or off, got "on"`}},
	{"sentinels", "upstream:\n  sentinels: [\"h:1\", \"i:1\"]\n  sentinel_name: m\n  sentinel_password_file: p\n", nil},
	{"candidates", "upstream:\n  address: [\"a:1\", \"[::1]:2\", \"unix:/s\"]\n", nil},
	{"one candidate", "upstream: {address: [\"a:1\"]}\n", nil},
	{"no candidates", "upstream: {address: []}\n",
		[]string{`f:1:21: upstream.address: is empty: give the address of the server, or a list of candidates`}},
	{"candidates that cannot be", "listeners: [{address: \"127.0.0.1:3\"}]\nupstream:\n  address: [\"a:1\", \"b\", \"a:1\", " +
		"\"127.0.0.1:3\", {c: 1}]\n",
		[]string{
			`f:3:20: upstream.address[1]: expected host:port, [v6]:port or unix:/path`,
			`f:3:25: upstream.address[2]: a:1 is there twice`,
			`f:3:32: upstream.address[3]: is listeners[0] of this proxy: it would connect to itself`,
			`f:3:47: upstream.address[4]: expected text, got keys and values`,
		}},
	{"too many candidates", "upstream:\n  address: [\"a:1\", \"a:2\", \"a:3\", \"a:4\", \"a:5\", \"a:6\", \"a:7\", \"a:8\", \"a:9\"]\n",
		[]string{`f:2:12: upstream.address: has at most 8 addresses`}},
	{"an address that is a section", "upstream: {address: {a: 1}}\n",
		[]string{`f:1:21: upstream.address: expected text, got keys and values`}},
	{"candidates and TLS", "upstream: {address: [\"a:1\", \"unix:/s\"], tls: {}}\n",
		[]string{`f:1:46: upstream.tls.server_name: is missing: a unix socket has no host to verify`}},
	{"sentinels and candidates", "upstream: {address: [\"a:1\", \"b:1\"], sentinels: [\"h:1\"], sentinel_name: m}\n",
		[]string{`f:1:21: upstream.address: give either address or sentinels`}},
	{"sentinels and an address", "upstream: {address: \"a:1\", sentinels: [\"h:1\"], sentinel_name: m}\n",
		[]string{`f:1:21: upstream.address: give either address or sentinels`}},
	{"sentinels that cannot be", "upstream:\n  sentinels: [\"h:1\", \"h:1\", \"unix:/s\", h]\n",
		[]string{
			`f:2:3: upstream.sentinel_name: is missing: the name that the sentinels have for the primary ` +
				`(sentinel monitor NAME …)`,
			`f:2:22: upstream.sentinels[1]: h:1 is there twice`,
			`f:2:29: upstream.sentinels[2]: a sentinel has a host and a port`,
			`f:2:40: upstream.sentinels[3]: expected host:port, [v6]:port or unix:/path`,
		}},
	{"keys of no sentinels", "upstream:\n  sentinel_name: m\n  sentinel_tls: {}\n  sentinel_password_file: f\n",
		[]string{
			`f:2:18: upstream.sentinel_name: has no effect without upstream.sentinels`,
			`f:3:17: upstream.sentinel_tls: has no effect without upstream.sentinels`,
			`f:4:27: upstream.sentinel_password_file: has no effect without upstream.sentinels`,
		}},
	{"guard", "upstream: {guard: on}\n",
		[]string{`f:1:19: upstream.guard: must be acl or off, got "on"`}},
	{"keep without trash",
		"rules:\n  - name: a\n    commands: [get]\n    action: deny\n    keep: 24h\n",
		[]string{`f:5:11: rules[0].keep: is for the action trash only`}},
	{"trash", "trash: {databases: [14, 15], memory: 0.9}\n", nil},
	{"trash in the wrong places", "trash: {databases: [0, 3, 3], memory: 2}\n",
		[]string{
			`f:1:21: trash.databases[0]: must be at least 1 (applications begin in database 0), got 0`,
			`f:1:27: trash.databases[2]: is here twice`,
			`f:1:39: trash.memory: expected a number from 0 to 1, got "2"`,
		}},
	{"trash in one database", "trash: {databases: [15]}\n",
		[]string{`f:1:20: trash.databases: two at the least: one is for the ledger`}},
	{"budget", "budgets: [{name: a, keys: 0, window: 1m, per: me}, {name: a, keys: 1}]\n",
		[]string{`f:1:27: budgets[0].keys: must be at least 1, got 0`,
			`f:1:47: budgets[0].per: must be global, user, address or session, got "me"`,
			`f:1:52: budgets[1].window: is missing: must be at least 1ms`,
			`f:1:59: budgets[1].name: another budget has the same name`}},
	{"audit", "audit: {max_size: 1KiB, keep: 0}\n",
		[]string{`f:1:19: audit.max_size: must be at least 64KiB, got 1KiB`,
			`f:1:31: audit.keep: must be from 1 to 1000, got 0`}},
	{"a limit without a rate",
		"rules:\n  - name: a\n    commands: [get]\n    action: deny\n    limit: {burst: 2}\n",
		[]string{`f:5:12: rules[0].limit.rate: is missing`}},
	{"incomplete rule", "rules:\n  - enforcement: never\n",
		[]string{
			`f:2:5: rules[0].name: is missing: errors and metrics show it`,
			`f:2:5: rules[0].commands: names no command`,
			`f:2:5: rules[0].action: is missing: must be allow, deny, confirm, trash or rewrite`,
			`f:2:18: rules[0].enforcement: must be enforce or observe, got "never"`,
		}},
	{"rules of one name",
		"rules:\n- {name: a, commands: [get], action: deny}\n" +
			"- {name: a, commands: [\"\"], action: deny}\n",
		[]string{
			`f:3:10: rules[1].name: another rule has the same name`,
			`f:3:24: rules[1].commands[0]: is empty`,
		}},
	{"name of two lines", "rules:\n- {name: \"a\\nb\", commands: [get], action: deny}\n",
		[]string{`f:2:10: rules[0].name: must be printable text of one line`}},
	{"long name", "listeners: [{address: \":1\", name: " + strings.Repeat("n", 65) + "}]\n",
		[]string{`f:1:35: listeners[0].name: at most 64 bytes`}},

	{"routes", "routes:\n- {name: a, ack: {replicas: 1}}\n- {name: b, ack: {aof: {replicas: 1}}}\n",
		nil},
	{"empty lists", "routes: []\nbudgets: []\n" +
		"rules: [{name: a, commands: [get], except: [], keys: [], action: deny}]\n", nil},
	{"a rule for no listener", "rules: [{name: a, commands: [del], action: deny, listeners: [x]}]\n",
		[]string{`f:1:62: rules[0].listeners[0]: no listener has the name "x", or that address and no name`}},
	{"a route to listeners", "listeners: [{address: \":1\", name: x}, {address: \":2\"}]\n" +
		"routes: [{name: a, listeners: [x, \":2\"], ack: {replicas: 1}}]\n", nil},
	{"a route to listeners that are not there",
		"listeners: [{address: \":1\", name: x}]\n" +
			"routes: [{name: a, listeners: [x, \":1\", y], ack: {replicas: 1}}]\n",
		[]string{
			`f:2:35: routes[0].listeners[1]: no listener has the name ":1", or that address and no name`,
			`f:2:41: routes[0].listeners[2]: no listener has the name "y", or that address and no name`,
		}},
	{"empty routes", "routes:\n- {}\n- {name: a, ack: {}}\n" +
		"- {name: a, ack: {journal: false, aof: {local: false}}}\n",
		[]string{
			`f:2:3: routes[0].name: is missing: errors and metrics show it`,
			`f:2:3: routes[0].ack: asks for nothing: journal, replicas or aof`,
			`f:3:18: routes[1].ack: asks for nothing: journal, replicas or aof`,
			`f:4:10: routes[2].name: another route has the same name`,
			`f:4:18: routes[2].ack: asks for nothing: journal, replicas or aof`,
		}},
	{"a journal that is not there", "routes: [{name: a, ack: {journal: true}}]\n",
		[]string{`f:1:35: routes[0].ack.journal: needs journal.dir`}},
	{"a journal that is there",
		"journal: {dir: j, fack: true}\n" +
			"routes: [{name: a, ack: {journal: true, aof: {replicas: 1}}}]\n", nil},
	{"values of routes",
		"routes:\n- name: a\n  ack: {replicas: -1, aof: {replicas: -2}}\n  timeout: 0s\n" +
			"  on_timeout: wait\n  when_unavailable: allow\n  databases: [0, -1]\n  users: [\"\"]\n" +
			"  scripts: true\n",
		[]string{
			`f:3:19: routes[0].ack.replicas: must not be negative, got -1`,
			`f:3:39: routes[0].ack.aof.replicas: must not be negative, got -2`,
			`f:4:12: routes[0].timeout: must be at least 1ms, got 0s`,
			`f:5:15: routes[0].on_timeout: must be error or close, got "wait"`,
			`f:6:21: routes[0].when_unavailable: must be reject or pass, got "allow"`,
			`f:7:18: routes[0].databases[1]: must not be negative, got -1`,
			`f:8:11: routes[0].users[0]: is empty`,
			`f:9:12: routes[0].scripts: is about keys that scripts do not declare, ` +
				`and this route has no keys`,
		}},
	{"shapes of routes", "routes:\n- {name: a, ack: journal, timeout: 5, keys: pay, scripts: yes}\n" +
		"- {name: b, ack: {aof: true, quorum: 2}, on_timeuot: close}\n",
		[]string{
			`f:2:18: routes[0].ack: expected keys and values, got text`,
			`f:2:36: routes[0].timeout: expected a duration such as 500ms, 10s, 24h or 7d: ` +
				`a number needs its unit, got "5"`,
			`f:2:45: routes[0].keys: expected a list ([] for none), got text`,
			`f:2:59: routes[0].scripts: expected true or false, got text`,
			`f:3:24: routes[1].ack.aof: expected keys and values, got a truth value`,
			`f:3:30: routes[1].ack: unknown key "quorum"`,
			`f:3:42: routes[1]: unknown key "on_timeuot" (did you mean on_timeout?)`,
		}},

	{"no listener", "listeners: []\n", []string{`f:1:12: listeners: at least one is needed`}},
	{"nameless listeners", "listeners: [{address: \":1\"}, {address: \":2\"}]\n", nil},
	{"free ports", "listeners: [{address: \":0\"}, {address: \":0\"}]\n", nil},
	{"clashing listeners",
		"listeners:\n- {address: \"a:1\", name: x}\n- {address: \"a:1\", name: x}\n",
		[]string{
			`f:3:13: listeners[1].address: another listener has the same address`,
			`f:3:26: listeners[1].name: another listener has the same name`,
		}},
	{"mode of TCP", "listeners: [{address: \":1\", mode: 770}]\n",
		[]string{`f:1:35: listeners[0].mode: is for unix sockets only`}},
	{"mode that is none", "listeners: [{address: \"unix:/s\", mode: rwx}]\n",
		[]string{`f:1:40: listeners[0].mode: expected permission bits in octal, ` +
			`such as "0770", got "rwx"`}},
	{"upstream is a listener",
		"listeners: [{address: \":6379\"}]\nupstream: {address: \"localhost:6379\"}\n",
		[]string{`f:2:21: upstream.address: is listeners[0] of this proxy: ` +
			`it would connect to itself`}},
	{"upstream is an URL", "upstream: {address: \"redis://h:6379\"}\n",
		[]string{`f:1:21: upstream.address: write h:6379 instead of the URL redis://h:6379`}},
	{"upstream limits", "upstream:\n  connect_timeout: 0\n  max_backoff: 1ms\n" +
		"  tcp_keepalive: 5ms\n",
		[]string{
			`f:2:20: upstream.connect_timeout: must be at least 10ms, got 0`,
			`f:3:16: upstream.max_backoff: must be at least 10ms, got 1ms`,
			`f:4:18: upstream.tcp_keepalive: must be 0 (none) or at least 1s, got 5ms`,
		}},
	{"two passwords", "upstream: {password: a, password_file: b}\n",
		[]string{`f:1:40: upstream.password_file: give either password or password_file`}},
	{"printed password", "upstream: {password: (redacted)}\n",
		[]string{`f:1:22: upstream.password: "(redacted)" is what stands for a secret ` +
			`where one is printed`}},
	{"open console", "admin: {address: \":6390\"}\n",
		[]string{`f:1:18: admin.address: a console that other machines can reach ` +
			`needs admin.password`}},
	{"open console with a password", "admin: {address: \":6390\", password: x}\n", nil},
	{"admin off", "admin: {address: off, http: off}\n", nil},
	{"profiler", "admin: {pprof: true}\n", nil},
	{"profiler in other words", "admin: {pprof: \"true\"}\n",
		[]string{`f:1:16: admin.pprof: expected true or false, got text`}},
	{"profiler without HTTP", "admin: {http: off, pprof: true}\n",
		[]string{`f:1:27: admin.pprof: needs admin.http`}},
	{"admin clashes",
		"admin: {address: \"localhost:6380\", http: \"localhost:6380\"}\n",
		[]string{
			`f:1:18: admin.address: is the address of listeners[0]`,
			`f:1:42: admin.http: is the address of the console`,
			`f:1:42: admin.http: is the address of listeners[0]`,
		}},
	{"sizes", "limits: {memory: 1m, client_input: 1, max_bulk: -5, link_queue: 1.5GiB}\n",
		[]string{
			`f:1:18: limits.memory: a bare k, m, g or t is ambiguous: ` +
				`write kb or KiB, mb or MiB …, got "1m"`,
			`f:1:36: limits.client_input: must be at least 1MiB, got 1`,
			`f:1:49: limits.max_bulk: expected a size such as 64MiB, 512kb or ` +
				`a number of bytes, got "-5"`,
			`f:1:65: limits.link_queue: expected a size such as 64MiB, 512kb or ` +
				`a number of bytes, got "1.5GiB"`,
		}},
	{"counts", "limits: {max_clients: 0, max_args: 3000000000, pinned_links: -1}\n",
		[]string{
			`f:1:23: limits.max_clients: must be at least 1, got 0`,
			`f:1:36: limits.max_args: must be from 1 to 2147483647, got 3000000000`,
			`f:1:62: limits.pinned_links: must be at least 1, got -1`,
		}},
	{"links", "limits: {upstream_links: 3, user_links: 0, client_links: 0, link_wait: 0s}\n",
		[]string{
			`f:1:26: limits.upstream_links: must be 0 (three quarters of the server's maxclients) or at ` +
				`least 16, got 3`,
			`f:1:41: limits.user_links: must be at least 8, got 0`,
			`f:1:58: limits.client_links: must be at least 4, got 0`,
			`f:1:72: limits.link_wait: must be at least 1ms, got 0s`,
		}},
	{"a duration without unit", "drain: 10\n",
		[]string{`f:1:8: drain: expected a duration such as 500ms, 10s, 24h or 7d: ` +
			`a number needs its unit, got "10"`}},
	{"zero needs no unit", "drain: 0\n", nil},
	{"a list for a duration", "drain: [1s]\n",
		[]string{`f:1:8: drain: expected a duration such as 500ms, 10s, 24h or 7d, got a list`}},
	{"telemetry", "telemetry: {otlp: \"collector:4318\", sample: 2, service_name: \"\"}\n",
		[]string{
			`f:1:19: telemetry.otlp: must be a URL such as http://127.0.0.1:4318`,
			`f:1:45: telemetry.sample: expected a number from 0 to 1, got "2"`,
			`f:1:62: telemetry.service_name: is missing`,
		}},
	{"password in an URL", "telemetry: {otlp: \"http://u:p@h:4318\"}\n",
		[]string{`f:1:19: telemetry.otlp: must not hold a password`}},
	{"not a number", "telemetry: {sample: .nan}\n",
		[]string{`f:1:21: telemetry.sample: expected a number from 0 to 1, got a number`}},
}

func TestParse(t *testing.T) {
	for _, tc := range parseCases {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Parse("f", []byte(tc.text))
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got:\n%s\nwant:\n%s",
					strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
			if (c == nil) != (err != nil) {
				t.Errorf("config %v with error %v", c, err)
			}
		})
	}
}

func TestParseFillsEveryField(t *testing.T) {
	c, err := Parse("f", []byte(`
listeners:
  - {address: "unix:/run/h.sock", name: local, mode: 0660}
  - {address: "unix:/run/g.sock"}
workers: 3
upstream:
  address: "[::1]:7000"
  username: holdfast
  password: "s3cret"
  guard: off
  connect_timeout: 1s
  tcp_keepalive: 0
  max_backoff: 500ms
  hold: 7s
admin: {address: off, password: other, http: "localhost:1", pprof: true, http_hosts: [m.example.com]}
journal: {dir: /j, base: {every: 1h, bytes: 1MiB}, retention: {age: 2h, bytes: 1GiB},
  disk: {warn: 1, stop: 2}, backlog: 3s, fack: true, required: true,
  mark: 4s, on_loss: continue, scrub: {every: 3h, rate: 2MiB/s}}
failover: {feed: off, fence: off}
enforcement: observe
rules:
  - {name: r, commands: [keys, "@admin"], except: [info], action: allow, enforcement: enforce}
  - {name: t, commands: [flushall], action: trash, keep: 12h}
trash: {databases: [4, 5], memory: 0.5}
audit: {file: a.log, max_size: 1MiB, keep: 3}
budgets: [{name: b, keys: 5, window: 1m, open: 2m, per: user, users: [x]}]
routes:
  - {name: p, keys: ["p:*"], users: [u*], listeners: [local], databases: [1], scripts: true,
    ack: {journal: true, replicas: 2, aof: {local: true, replicas: 3}}, timeout: 2s,
    on_timeout: close, when_unavailable: pass}
  - {name: q, ack: {replicas: 1}}
limits: {max_clients: 1, client_input: 2MiB, client_output: 3mb, link_queue: 65536, memory: 1gib,
  max_args: 7, max_bulk: 1MB, max_inline: 2 KiB, pinned_links: 9, pinned_wait: 3s,
  ready_links: 0, idle_timeout: 1d12h,
  upstream_links: 20, user_links: 21, client_links: 22, link_wait: 2s}
telemetry: {otlp: "https://h", sample: 1, service_name: s}
log: {level: error, format: json}
drain: 7d
`))
	if err != nil {
		t.Fatal(err)
	}
	c.origin = origin{}
	want := &Config{
		Listeners: []Listener{
			{Address: "unix:/run/h.sock", Name: "local", Mode: 0o660, ProxyProtocol: off},
			{Address: "unix:/run/g.sock", Mode: 0o770, ProxyProtocol: off},
		},
		Workers: 3,
		Upstream: Upstream{Address: Addresses{"[::1]:7000"}, Username: "holdfast", Password: "s3cret",
			Guard: "off", ConnectTimeout: time.Second, MaxBackoff: 500 * time.Millisecond,
			Hold: 7 * time.Second},
		Admin: Admin{Password: "other", HTTP: "localhost:1", Pprof: true,
			HTTPHosts: []string{"m.example.com"}},
		Journal: Journal{Dir: "/j", Base: JournalBase{Every: time.Hour, Bytes: MiB},
			Retention: JournalRetention{Age: 2 * time.Hour, Bytes: GiB},
			Disk:      JournalDisk{Warn: 1, Stop: 2}, Backlog: 3 * time.Second, FACK: true,
			Mark: 4 * time.Second, OnLoss: OnLossContinue,
			Scrub:    JournalScrub{Every: 3 * time.Hour, Rate: Rate(2 * MiB)},
			Required: true},
		Failover:    Failover{Feed: off, Fence: off},
		Enforcement: Observe,
		Rules: []Rule{{Name: "r", Commands: []string{"keys", "@admin"},
			Except: []string{"info"}, Action: "allow", Enforcement: Enforce},
			{Name: "t", Commands: []string{"flushall"}, Action: "trash", Keep: 12 * time.Hour}},
		Trash: Trash{Databases: []int{4, 5}, Memory: 0.5},
		Budgets: []Budget{{Name: "b", Keys: 5, Window: time.Minute, Open: 2 * time.Minute,
			Per: "user", Users: []string{"x"}}},
		Routes: []Route{{Name: "p", Keys: []string{"p:*"}, Users: []string{"u*"},
			Listeners: []string{"local"}, Databases: []int{1}, Scripts: true,
			Ack:     RouteAck{Journal: true, Replicas: 2, AOF: AckAOF{Local: true, Replicas: 3}},
			Timeout: 2 * time.Second, OnTimeout: TimeoutClose, WhenUnavailable: UnavailablePass},
			{Name: "q", Ack: RouteAck{Replicas: 1}, Timeout: time.Second, OnTimeout: TimeoutError,
				WhenUnavailable: UnavailableReject}},
		Audit: Audit{File: "a.log", MaxSize: MiB, Keep: 3},
		Limits: Limits{MaxClients: 1, ClientInput: 2 * MiB, ClientOutput: 3 * MiB,
			LinkQueue: 64 * KiB, Memory: GiB, MaxArgs: 7, MaxBulk: MiB, MaxInline: 2 * KiB,
			PinnedLinks: 9, PinnedWait: 3 * time.Second, IdleTimeout: 36 * time.Hour,
			UpstreamLinks: 20, UserLinks: 21, ClientLinks: 22, LinkWait: 2 * time.Second},
		Telemetry: Telemetry{OTLP: "https://h", Sample: 1, ServiceName: "s"},
		Log:       Log{Level: "error", Format: "json"},
		Drain:     7 * 24 * time.Hour,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %#v\nwant %#v", c, want)
	}
}

func TestRulesAbsentAndEmptyDiffer(t *testing.T) {
	absent, err := Parse("f", nil)
	if err != nil || absent.Rules != nil {
		t.Errorf("absent: %v, %v; want nil", absent.Rules, err)
	}
	empty, err := Parse("f", []byte("rules: []\n"))
	if err != nil || empty.Rules == nil || len(empty.Rules) != 0 {
		t.Errorf("empty: %#v, %v; want empty and not nil", empty.Rules, err)
	}
}

func TestErrorsCarryPositions(t *testing.T) {
	_, err := Parse("f", []byte("workers: 0\ndrain: x\n"))
	var first *Error
	if !errors.As(err, &first) || first.Line != 1 || first.Column != 10 || first.Path != "workers" {
		t.Errorf("got %+v", first)
	}
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Errorf("got %v", all)
	}
}

// A package that knows more than this one, such as policy, can name the place of a value.
func TestAt(t *testing.T) {
	c, err := Parse("f", []byte("rules:\n  - name: a\n    commands: [nope]\n    action: deny\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"rules[0].commands[0]": "f:3:16: rules[0].commands[0]: why",
		"rules[0].except":      "f:2:5: rules[0].except: why",
		"drain":                "f: drain: why",
	} {
		if got := c.At(path, "why").Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := Default().At("drain", "why").Error(); got != "drain: why" {
		t.Errorf("without a file: %q", got)
	}
}
