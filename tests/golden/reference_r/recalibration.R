# What R says of a recalibration: a Cox model of the odd rows of pbc.csv, its level and spread fitted to the even rows.
#   Rscript recalibration.R > recalibration.csv   (in this folder)
suppressMessages(library(survival))
d <- read.csv("pbc.csv")
odd <- seq_len(nrow(d)) %% 2 == 1
model <- coxph(Surv(time, status) ~ age + bili + albumin, d[odd, ], control = coxph.control(eps = 1e-15, iter.max = 50))
base <- basehaz(model, centered = TRUE)
new <- d[!odd, ]
new$lp <- predict(model, new, type = "lp")
h <- base$hazard; t <- base$time
at <- findInterval(new$time, t)
first <- which(h > 0)[1]
new$H0 <- ifelse(at < first, h[first] * new$time / t[first], h[pmax(at, 1)])
g <- glm.control(epsilon = 1e-14, maxit = 100)
show <- function(name, fit) {
  b <- coef(fit); s <- sqrt(diag(vcov(fit)))
  cat(name, sprintf("%.15g", c(b, s)), sep = ","); cat("\n")
}
cat("fit,intercept,slope,se_intercept,se_slope\n")
show("exact", glm(status ~ lp + offset(log(H0)), poisson, new, control = g))
show("visit", glm(status ~ lp + offset(log(H0)), binomial("cloglog"), new, control = g))
one <- function(name, fit) {
  cat(name, sprintf("%.15g", coef(fit)), 1, sprintf("%.15g", sqrt(vcov(fit))), 0, sep = ",")
  cat("\n")
}
one("exact intercept", glm(status ~ 1 + offset(log(H0) + lp), poisson, new, control = g))
one("visit intercept", glm(status ~ 1 + offset(log(H0) + lp), binomial("cloglog"), new, control = g))
