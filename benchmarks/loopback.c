/* A CONNECT proxy and its targets, all in one process, on loopback: `loopback [CHAIN.pem]`.
 *
 * It answers every CONNECT with 200 and is then the target itself, which the name chooses:
 * echo, source-N (N bytes, once it was sent something), sink-N (one byte, once it was sent N),
 * page (a response, to each request that comes in one piece); with "tls-" before it, the same
 * inside TLS. It prints the two ports, of the plain proxy and
 * of the one that is spoken to in TLS, and lives until its standard input ends. Fast, so that
 * the clients are what is measured; as small as that allows, and trusting: for benchmarks only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AGAIN = -1, BROKEN = -2 };
enum state { HEAD, ECHO, SOURCE, SINK, PAGE };

typedef struct {
    int fd, listens;
    enum state state;
    SSL *tls;        /* the innermost layer, or NULL */
    long long left;  /* bytes that a source owes or a sink awaits */
    char *late;      /* what an echo could not send yet */
    size_t late_at, late_size, head_size;
    char head[4096];
} peer;

static SSL_CTX *context;
static int epoll;
static char buffer[1 << 18];
static const char zeros[1 << 18];
static const char page[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
                           "0123456789012345678901234567890123456789012345678\n"
                           "0123456789012345678901234567890123456789012345678\n";

static ssize_t outcome(peer *p, ssize_t n)
{
    if (n > 0)
        return n;
    if (!p->tls)
        return n == 0 ? 0 : errno == EAGAIN ? AGAIN : BROKEN;
    switch (SSL_get_error(p->tls, (int)n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        SSL_shutdown(p->tls);
        return 0;
    default:
        return BROKEN;
    }
}

static ssize_t take(peer *p, char *to, size_t size)
{
    ERR_clear_error();
    return outcome(p, p->tls ? SSL_read(p->tls, to, (int)size) : recv(p->fd, to, size, 0));
}

static ssize_t give(peer *p, const char *from, size_t size)
{
    ERR_clear_error();
    return outcome(p, p->tls ? SSL_write(p->tls, from, (int)size) : send(p->fd, from, size, 0));
}

/* One more layer of TLS: on the socket, or on the layer there is, which it then owns. */
static void start_tls(peer *p)
{
    SSL *tls = SSL_new(context);
    if (p->tls) {
        BIO *below = BIO_new(BIO_f_ssl());
        BIO_set_ssl(below, p->tls, BIO_CLOSE);
        SSL_set_bio(tls, below, below);
    } else {
        SSL_set_fd(tls, p->fd);
    }
    SSL_set_accept_state(tls);
    p->tls = tls;
}

static ssize_t become_target(peer *p)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n\r\n";
    char *name = p->head + strlen("CONNECT ");
    p->head[p->head_size] = 0;
    if (strncmp(p->head, "CONNECT ", 8) || give(p, ok, sizeof ok - 1) != sizeof ok - 1)
        return BROKEN;
    if (!strncmp(name, "tls-", 4)) {
        start_tls(p);
        name += 4;
    }
    p->state = *name == 'e' ? ECHO : *name == 'p' ? PAGE : name[1] == 'o' ? SOURCE : SINK;
    p->left = p->state == SINK ? atoll(name + 5) : 0;
    return 1;
}

static ssize_t take_in(peer *p, const char *data, size_t size)
{
    switch (p->state) {
    case HEAD:
        if (p->head_size + size >= sizeof p->head)
            return BROKEN;
        memcpy(p->head + p->head_size, data, size);
        p->head_size += size;
        if (p->head_size < 4 || memcmp(p->head + p->head_size - 4, "\r\n\r\n", 4))
            return 1;
        return become_target(p);
    case SOURCE:
        p->left = atoll(strstr(p->head, "source-") + 7);
        return 1;
    case SINK:
        if (p->left <= 0 || (p->left -= (long long)size) > 0)
            return 1;
        size = 1; /* and now the byte that says so */
        break;
    case PAGE:
        data = page;
        size = sizeof page - 1;
        break;
    case ECHO:
        break;
    }
    p->late = memcpy(malloc(size), data, size);
    p->late_at = 0;
    p->late_size = size;
    return 1;
}

/* Do what can be done without waiting; epoll is edge-triggered, so all of it. */
static ssize_t advance(peer *p)
{
    ssize_t n;
    for (;;) {
        if (p->late) {
            if ((n = give(p, p->late + p->late_at, p->late_size - p->late_at)) <= 0)
                return n;
            if ((p->late_at += (size_t)n) == p->late_size) {
                free(p->late);
                p->late = NULL;
            }
        } else if (p->state == SOURCE && p->left > 0) {
            size_t size = p->left < (long long)sizeof zeros ? (size_t)p->left : sizeof zeros;
            if ((n = give(p, zeros, size)) <= 0)
                return n;
            p->left -= n;
        } else if ((n = take(p, buffer, sizeof buffer)) <= 0 ||
                   (n = take_in(p, buffer, (size_t)n)) <= 0) {
            return n;
        }
    }
}

static void watch(peer *p, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = p};
    epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event);
}

static void welcome(peer *listener)
{
    int fd, on = 1;
    /* A reset after the client's end spares its port the minute of TIME_WAIT. Not with TLS,
     * where our close_notify may still be on its way. */
    struct linger reset = {1, 0};
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        peer *p = calloc(1, sizeof *p);
        p->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (listener->tls)
            start_tls(p);
        else
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        watch(p, EPOLLIN | EPOLLOUT | EPOLLET);
    }
}

static int listen_on_any_port(int with_tls)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    peer *p = calloc(1, sizeof *p);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    p->listens = 1;
    p->tls = with_tls ? SSL_new(context) : NULL;
    if (bind(p->fd, (struct sockaddr *)&at, size) || listen(p->fd, 4096))
        return 0;
    getsockname(p->fd, (struct sockaddr *)&at, &size);
    watch(p, EPOLLIN);
    return ntohs(at.sin_port);
}

static void let_go(peer *p)
{
    if (p->tls)
        SSL_free(p->tls);
    close(p->fd);
    free(p->late);
    free(p);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct epoll_event events[256];
    peer until = {.fd = 0};

    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll = epoll_create1(0);
    if (argc > 1) {
        context = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        if (SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
            SSL_CTX_use_PrivateKey_file(context, argv[1], SSL_FILETYPE_PEM) != 1)
            return 1;
    }
    watch(&until, EPOLLIN);
    printf("%d %d\n", listen_on_any_port(0), context ? listen_on_any_port(1) : 0);
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            peer *p = events[i].data.ptr;
            if (p == &until)
                return 0;
            if (p->listens)
                welcome(p);
            else if (advance(p) != AGAIN)
                let_go(p);
        }
    }
}
