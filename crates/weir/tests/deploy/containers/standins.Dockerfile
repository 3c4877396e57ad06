# What stands in for images that other people publish, where their registries cannot be reached: the same programs out of
# Debian, under the names and with the users and folders that compose.yaml counts on.
FROM localhost/services AS base
RUN ln -sf busybox /usr/bin/wget && \
    install -d -o 999 -g 1000 /data && \
    install -d -o 65534 -g 65534 /prometheus /alertmanager

FROM base AS redis
VOLUME /data

FROM base AS haproxy
USER 99
CMD ["/usr/sbin/haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]

FROM base AS prometheus
USER 65534
ENTRYPOINT ["/usr/bin/prometheus"]

FROM base AS alertmanager
USER 65534
ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]
