/* The smallest server that is of use: it answers every request with one line. Usage: server PORT */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 29\r\nConnection: close\r\n\r\n"
    "Hello from one static binary\n";

int main(int count, char **words)
{
    if (count != 2) {
        fprintf(stderr, "usage: server PORT\n");
        return 125; /* There is no use in trying this again. */
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 64)) {
        perror("server");
        return 1;
    }
    printf("listening on port %s\n", words[1]);
    fflush(stdout);
    for (;;) {
        char request[4096];
        int visitor = accept(listener, NULL, NULL);
        if (visitor < 0)
            continue;
        struct timeval patience = {.tv_sec = 5};
        setsockopt(visitor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (recv(visitor, request, sizeof request, 0) > 0)
            send(visitor, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL);
        shutdown(visitor, SHUT_RDWR);
        close(visitor);
    }
}
