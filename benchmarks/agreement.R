# What R's survival says of each CSV file in a folder (time, event, covariates) and of the datasets that it comes with,
# which are written into the folder first. One line a part: cohort, ties, eps, part, numbers. Called by agreement.py.
suppressMessages(library(survival))
options(warn = -1)
folder <- commandArgs(TRUE)[1]

keep <- function(name, d, time, event, covariates) {
  d <- as.data.frame(d)
  X <- model.matrix(covariates, model.frame(covariates, d, na.action = na.pass))[, -1, drop = FALSE]
  colnames(X) <- paste0("x", seq_len(ncol(X)))
  o <- data.frame(time = as.numeric(d[[time]]), event = as.integer(event), X)
  write.csv(format(o[complete.cases(o), ], digits = 17), file.path(folder, paste0("R-", name, ".csv")),
            row.names = FALSE, quote = FALSE)
}
keep("veteran", veteran, "time", veteran$status, ~ trt + celltype + karno + diagtime + age + prior)
keep("ovarian", ovarian, "futime", ovarian$fustat, ~ age + resid.ds + rx + ecog.ps)
death <- subset(colon, etype == 2)
keep("colon", death, "time", death$status, ~ rx + sex + age + obstruct + perfor + adhere + nodes + differ + extent)
keep("flchain", flchain, "futime", flchain$death, ~ age + sex + kappa + lambda + creatinine + mgus + flc.grp)
keep("mgus", mgus, "futime", mgus$death, ~ age + sex + alb + creat + hgb + mspike)
keep("mgus2", mgus2, "futime", mgus2$death, ~ age + sex + hgb + creat + mspike)
keep("nwtco", nwtco, "edrel", nwtco$rel, ~ instit + histol + factor(stage) + age)
keep("retinopathy", retinopathy, "futime", retinopathy$status, ~ laser + age + type + trt + risk)
keep("rats", rats, "time", rats$status, ~ rx + sex)
keep("kidney", kidney, "time", kidney$status, ~ age + sex + disease)
keep("aml", aml, "time", aml$status, ~ x)
keep("rotterdam", rotterdam, "rtime", rotterdam$recur, ~ age + meno + size + grade + nodes + pgr + er + hormon + chemo)
keep("stanford2", stanford2, "time", stanford2$status, ~ age + t5)
keep("myeloid", myeloid, "futime", myeloid$death, ~ trt + sex)
keep("nafld1", nafld1, "futime", nafld1$status, ~ age + male + weight + height + bmi)
keep("pbc", pbc, "time", pbc$status == 2, ~ trt + age + sex + ascites + hepato + spiders + edema + bili + chol + albumin +
       copper + alk.phos + ast + trig + platelet + protime + stage)
keep("transplant", transplant, "futime", transplant$event == "death", ~ age + sex + abo + year)
keep("udca1", udca1, "futime", udca1$status, ~ trt + stage + bili + riskscore)
alive <- subset(jasa, futime > 0)
keep("jasa", alive, "futime", alive$fustat, ~ age + surgery + transplant)

say <- function(name, part, x) cat(name, part, sprintf("%.17g", as.numeric(x)), "\n")
for (path in list.files(folder, "csv$", full.names = TRUE)) {
  d <- read.csv(path)
  covariates <- names(d)[-(1:2)]
  f <- reformulate(covariates, "Surv(time, event)")
  for (ties in c("efron", "breslow")) for (eps in c("default", "tight")) {
    name <- paste(sub(".csv$", "", basename(path)), ties, eps)
    control <- if (eps == "default") coxph.control() else coxph.control(eps = 1e-15, iter.max = 100)
    m <- tryCatch(coxph(f, d, ties = ties, control = control, x = TRUE), error = function(e) NULL)
    if (is.null(m)) { cat(name, "failed\n"); next }
    say(name, "coef", coef(m))
    say(name, "se", sqrt(diag(vcov(m))))
    say(name, "loglik", m$loglik)
    base <- basehaz(m, centered = FALSE)
    say(name, "bh", base$hazard)
    say(name, "bhtime", base$time)
    at <- sort(unique(as.numeric(quantile(d$time[d$event == 1], c(.25, .5, .9), type = 1))))
    s <- summary(survfit(m, newdata = d[seq_len(min(20, nrow(d))), covariates, drop = FALSE]), times = at, extend = TRUE)
    say(name, "times", at)
    say(name, "surv", t(s$surv))
    say(name, "lower", t(s$lower))
    say(name, "upper", t(s$upper))
    z <- tryCatch(cox.zph(m), error = function(e) NULL)
    if (!is.null(z)) say(name, "zph", z$table[, 1])
    k <- concordance(m)
    say(name, "C", c(k$concordance, sqrt(k$var)))
  }
}
