// Plays the checks of loadtest/clients with hiredis. Each line of its output is a check.
#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed;

static void check(const char *name, int ok, const char *why) {
	if (ok)
		printf("ok %s\n", name);
	else
		printf("FAIL %s: %s\n", name, why ? why : "another result");
	failed |= !ok;
}

// empty makes an unset variable no file.
static const char *empty(const char *name) {
	const char *v = getenv(name);
	return v && *v ? v : NULL;
}

// open_by connects, with the authority that the variable names; NULL: it failed.
static redisContext *open_by(const char *ca) {
	redisSSLContextError why = REDIS_SSL_CTX_NONE;
	redisSSLContext *ssl = redisCreateSSLContext(getenv(ca), NULL, empty("CERT"), empty("KEY"), "localhost", &why);
	if (!ssl)
		return NULL;
	struct timeval patience = {20, 0};
	redisContext *c = redisConnectWithTimeout(getenv("HOST"), atoi(getenv("PORT")), patience);
	if (c)
		redisSetTimeout(c, patience);
	if (!c || c->err || redisInitiateSSLWithContext(c, ssl) != REDIS_OK) {
		if (c)
			redisFree(c);
		return NULL;
	}
	redisReply *r = redisCommand(c, "HELLO %s", getenv("PROTO"));
	if (!r || r->type == REDIS_REPLY_ERROR) {
		redisFree(c);
		return NULL;
	}
	freeReplyObject(r);
	return c;
}

static int is(redisReply *r, const char *want) {
	return r && r->str && strcmp(r->str, want) == 0;
}

static int element(redisReply *r, size_t i, const char *want) {
	return r && r->elements > i && is(r->element[i], want);
}

int main(void) {
	if (redisInitOpenSSL() != REDIS_OK)
		return 1;
	check("another authority is refused", open_by("OTHER_CA") == NULL, "it connected");
	redisContext *c = open_by("CA"), *b = open_by("CA");
	if (!c || !b) {
		check("connect", 0, "it failed");
		return 1;
	}
	char text[16];
	snprintf(text, sizeof text, "resp=%s", getenv("PROTO"));
	redisReply *r = redisCommand(c, "CLIENT INFO");
	check("protocol", r && r->str && strstr(r->str, text), c->errstr);
	r = redisCommand(c, "ACL WHOAMI");
	check("user", is(r, getenv("WHO")), c->errstr);

	size_t size = 300000;
	char *large = malloc(size);
	for (size_t i = 0; i < size; i++)
		large[i] = (char)(i * 31);
	redisCommand(c, "SET c:large %b", large, size);
	r = redisCommand(c, "GET c:large");
	check("large value", r && r->len == size && memcmp(r->str, large, size) == 0, c->errstr);

	redisCommand(c, "DEL c:n c:list");
	for (int i = 0; i < 100; i++)
		redisAppendCommand(c, "INCR c:n");
	for (int i = 0; i < 100; i++)
		if (redisGetReply(c, (void **)&r) != REDIS_OK)
			break;
	check("pipeline", r && r->integer == 100, c->errstr);

	redisCommand(c, "MULTI");
	redisCommand(c, "SET c:t v");
	redisCommand(c, "GET c:t");
	r = redisCommand(c, "EXEC");
	check("transaction", element(r, 1, "v"), c->errstr);

	redisAppendCommand(b, "BLPOP c:list 20");
	int done = 0;
	while (!done)
		redisBufferWrite(b, &done);
	for (int i = 0; i < 20000; i++) {
		r = redisCommand(c, "CLIENT LIST");
		if (!r || !r->str || strstr(r->str, "cmd=blpop"))
			break;
		freeReplyObject(r);
	}
	redisCommand(c, "RPUSH c:list v");
	r = NULL;
	redisGetReply(b, (void **)&r);
	check("blocking", element(r, 1, "v"), b->errstr);

	redisSetPushCallback(b, NULL); // with RESP3 both are pushes, read as replies
	r = redisCommand(b, "SUBSCRIBE c:channel");
	int subscribed = r != NULL;
	redisReply *n = redisCommand(c, "PUBLISH c:channel hello");
	r = NULL;
	redisGetReply(b, (void **)&r);
	check("pub/sub", subscribed && n && n->integer == 1 && element(r, 2, "hello"), b->errstr);
	return failed;
}
