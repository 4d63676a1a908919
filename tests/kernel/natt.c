/* Opens UDP port 4500 for ESP (RFC 3948) as an IKE daemon would, and waits. */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_ENCAP
#define UDP_ENCAP 100
#endif

int main(void) {
    int type = 2; /* UDP_ENCAP_ESPINUDP */
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(4500)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(fd, (struct sockaddr *)&any, sizeof any)) return 1;
    if (setsockopt(fd, IPPROTO_UDP, UDP_ENCAP, &type, sizeof type)) return 2;
    for (;;) pause();
}
